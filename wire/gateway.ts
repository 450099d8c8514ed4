/** What the gateway reads of a request for a model; the worker that receives it checks the rest. */
import { type Static, Type } from '@sinclair/typebox';
import { nullable } from './status.js';

export const GatewayRequest = Type.Object({
  model: Type.String({
    minLength: 1,
    maxLength: 1024,
    errorMessage: 'expected the name of a model: GET /v1/models lists them',
  }),
  stream: Type.Optional(nullable(Type.Boolean())),
});
export type GatewayRequest = Static<typeof GatewayRequest>;
