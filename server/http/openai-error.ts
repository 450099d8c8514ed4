/** Errors of OpenAI's routes, in the only shape that OpenAI's clients parse. */
import type { Context } from 'koa';
import { InferenceRefused } from '../../wire/infer.js';
import { openAiError } from '../../wire/openai.js';
import { type AnswerError, answerProblem } from './problem.js';
import type { Route } from './route.js';

/**
 * The paths of OpenAI's API below `/v1/`. Their clients parse errors of their own shape only, also where we have no such
 * route. Everything else below `/v1` is ours.
 */
const OPENAI_PATHS =
  /^\/v1\/(assistants|audio|batches|chat|completions|containers|conversations|edits|embeddings|engines|evals|files|fine_tuning|fine-tunes|images|models|moderations|organization|realtime|rerank|responses|threads|uploads|vector_stores|videos)(\/|$)/;

/**
 * The shape of errors by path, since a request may be refused before it reaches its route. A process without any of
 * OpenAI's routes answers problems only.
 */
export function errorShapes(routes: Route[]): (ctx: Context) => AnswerError {
  const hasOpenAiRoutes = routes.some(({ errors }) => errors === 'openai');
  return ({ path }) => (hasOpenAiRoutes && OPENAI_PATHS.test(path) ? answerOpenAiError : answerProblem);
}

const answerOpenAiError: AnswerError = (ctx, { status, message, errors, headers }, cause) => {
  const first = errors?.[0];
  const { param, code } =
    cause instanceof InferenceRefused ? cause : { param: first && paramOf(first.pointer), code: null };
  // OpenAI has no 422: a wrong field is a 400 there, and `param` names it.
  const openAiStatus = status === 422 ? 400 : status;
  const text = first && param ? `${param}: ${first.detail}` : message;
  ctx.status = openAiStatus;
  ctx.set(headers);
  ctx.body = JSON.stringify(
    openAiError(openAiStatus, text, { param: param ?? null, code: code ?? CODES[openAiStatus] ?? null }),
  );
  ctx.type = 'application/json';
};

const CODES: Record<number, string> = { 401: 'invalid_api_key', 404: 'not_found', 405: 'method_not_allowed' };

/** `/messages/0/role` as OpenAI names it: `messages[0].role`. */
function paramOf(pointer: string): string {
  return pointer
    .slice(1)
    .replace(/\/(\d+)(?=\/|$)/g, '[$1]')
    .replaceAll('/', '.');
}
