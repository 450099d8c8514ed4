/** Errors on the routes that OpenAI's clients ask, in the shape that those clients parse. */
import type { Context } from 'koa';
import { InferenceRefused } from '../../wire/infer.js';
import { openAiError } from '../../wire/openai.js';
import { type AnswerError, answerProblem } from './problem.js';
import type { Route } from './route.js';

/**
 * What stands behind `/v1/` in OpenAI's API. Their clients ask for it, and parse no other error than theirs, also where we
 * have no such route. Everything else below `/v1` is ours.
 */
const OPENAI_ROOMS =
  /^\/v1\/(assistants|audio|batches|chat|completions|containers|conversations|edits|embeddings|engines|evals|files|fine_tuning|fine-tunes|images|models|moderations|organization|realtime|rerank|responses|threads|uploads|vector_stores|videos)(\/|$)/;

/**
 * Which shape the errors of a path have: a request may be refused long before it reaches its route. A process without
 * any of OpenAI's routes has none of their errors.
 */
export function errorShapes(routes: Route[]): (ctx: Context) => AnswerError {
  const speaksOpenAi = routes.some(({ errors }) => errors === 'openai');
  return ({ path }) => (speaksOpenAi && OPENAI_ROOMS.test(path) ? answerOpenAiError : answerProblem);
}

const answerOpenAiError: AnswerError = (ctx, { status, message, errors, headers }, cause) => {
  const first = errors?.[0];
  const { param, code } =
    cause instanceof InferenceRefused ? cause : { param: first && paramOf(first.pointer), code: null };
  // OpenAI knows no 422: a wrong field is a bad request there, and `param` names it.
  const told = status === 422 ? 400 : status;
  const words = first && param ? `${param}: ${first.detail}` : message;
  ctx.status = told;
  ctx.set(headers);
  ctx.body = JSON.stringify(openAiError(told, words, { param: param ?? null, code: code ?? CODES[told] ?? null }));
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
