/** A route says what it takes and gives; its documentation and its checks come from the same words. */
import type { TSchema } from '@sinclair/typebox';
import type { Context } from 'koa';

export interface AnswerDoc {
  description: string;
  schema?: TSchema;
  /** Media type; application/json unless said otherwise. */
  type?: string;
}

export interface QueryDoc {
  description: string;
  schema: TSchema;
}

export interface Route {
  method: 'GET' | 'POST' | 'DELETE';
  /** With `:name` for parameters, and `*name` for one that may hold slashes. */
  path: string;
  summary: string;
  /** Needs no token. */
  open?: true;
  body?: TSchema;
  headers?: Record<string, string>;
  query?: Record<string, QueryDoc>;
  answers: Record<number, AnswerDoc>;
  /** Errors in the shape that OpenAI's clients parse, from the first check on: also those of a request that never gets here. */
  errors?: 'openai';
  /** Begins work that lasts: refused by a process that is ending. */
  work?: true;
  /** It answers with a model, or has one answer: a process that ends takes no more of these, and lets those that run finish. */
  model?: true;
  handle: (ctx: Context, params: Record<string, string>) => void | Promise<void>;
}

/** JSON answers are sent as such, whatever their value is. */
export function answerJson(ctx: Context, body: object, status = 200): void {
  ctx.status = status;
  ctx.body = body;
}
