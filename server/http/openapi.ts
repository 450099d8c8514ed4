/** OpenAPI 3.1 of a process, from its routes: TypeBox schemas are JSON Schema already. */
import { OpenAiError } from '../../wire/openai.js';
import { Problem } from '../../wire/problem.js';
import type { Route } from './route.js';

interface OpenapiInput {
  title: string;
  version: string;
  routes: Route[];
  /** Whether a token is required. */
  secured: boolean;
}

const problem = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
});

const openAiFailure = (description: string) => ({
  description,
  content: { 'application/json': { schema: clean(OpenAiError) } },
});

export function openapiOf({ title, version, routes, secured }: OpenapiInput): object {
  const paths: Record<string, Record<string, unknown>> = {};
  for (const route of routes) {
    const path = route.path.replace(/[:*](\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route) };
  }
  return {
    openapi: '3.1.0',
    info: { title, version, license: { name: 'MIT', identifier: 'MIT' } },
    paths,
    components: {
      schemas: { Problem: clean(Problem) },
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
    ...(secured ? { security: [{ token: [] }] } : {}),
  };
}

function operationOf({ summary, path, open, body, headers = {}, query = {}, answers, errors }: Route): object {
  const failure = errors === 'openai' ? openAiFailure : problem;
  const inPath = [...path.matchAll(/[:*](\w+)/g)].map(([, name]) => ({
    name,
    in: 'path',
    required: true,
    schema: { type: 'string' },
  }));
  const inQuery = Object.entries(query).map(([name, { description, schema }]) => ({
    name,
    in: 'query',
    description,
    schema: clean(schema),
  }));
  const inHeader = Object.entries(headers).map(([name, description]) => ({
    name,
    in: 'header',
    description,
    schema: { type: 'string' },
  }));
  const parameters = [...inPath, ...inQuery, ...inHeader];
  const responses = Object.fromEntries(
    Object.entries(answers).map(([status, { description, schema, type = 'application/json' }]) => [
      status,
      Number(status) >= 400
        ? failure(description)
        : { description, ...(schema || type !== 'application/json' ? { content: { [type]: contentOf(schema) } } : {}) },
    ]),
  );
  return {
    summary,
    ...(open ? { security: [] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body ? { requestBody: { required: true, content: { 'application/json': { schema: clean(body) } } } } : {}),
    responses: { ...responses, default: failure('any error') },
  };
}

const contentOf = (schema: Route['body']) => (schema ? { schema: clean(schema) } : { schema: { type: 'string' } });

/** Without TypeBox's symbols, and without `errorMessage`, which only our own checks use. */
function clean(schema: object): object {
  return JSON.parse(
    JSON.stringify(schema, (key, value: unknown) => (key === 'errorMessage' ? undefined : value)),
  ) as object;
}
