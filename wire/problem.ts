/** Errors as RFC 9457 describes them: `application/problem+json`. */
import { type Static, Type } from '@sinclair/typebox';

export const PROBLEM_TYPE = 'application/problem+json';

export const Problem = Type.Object({
  type: Type.String({ description: 'a URI that names the kind of problem' }),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.String(),
  errors: Type.Optional(
    Type.Array(Type.Object({ pointer: Type.String({ description: 'JSON pointer, RFC 6901' }), detail: Type.String() })),
  ),
});
export type Problem = Static<typeof Problem>;
