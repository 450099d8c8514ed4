/** Log-in and log-out of browsers. */
import { Type } from '@sinclair/typebox';
import { parser } from '../../wire/schema.js';
import { type Access, logIn, logOut } from './auth.js';
import { readBody } from './body.js';
import type { Route } from './route.js';

const Session = Type.Object({ token: Type.String({ minLength: 1, maxLength: 4096 }) });
const parseSession = parser(Session);
/** The route needs no token, so its body is small. */
const BODY_BYTES_MAX = 8 * 1024;

export function sessionRoutes(access: Access): Route[] {
  return [
    {
      method: 'POST',
      path: '/v1/session',
      open: true,
      summary: 'Logs a browser in: the token for an HttpOnly, SameSite=Strict cookie.',
      body: Session,
      answers: {
        204: { description: 'Logged in.' },
        401: { description: 'Wrong token.' },
        429: { description: 'Too many wrong tokens from this address.' },
      },
      handle: async (ctx) => {
        await logIn(ctx, access, (await readBody(ctx, parseSession, BODY_BYTES_MAX)).token);
        ctx.status = 204;
      },
    },
    {
      method: 'DELETE',
      path: '/v1/session',
      summary: 'Logs a browser out.',
      answers: { 204: { description: 'Logged out.' } },
      handle: (ctx) => {
        logOut(ctx, access);
        ctx.status = 204;
      },
    },
  ];
}
