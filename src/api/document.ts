import { z } from 'zod';
import { VERSION } from '../base/version.ts';
import { answerSchema, type Operation } from './operation.ts';

export type Json = { readonly [key: string]: unknown };

export const BASE = '/api/v1';

/** What an answer with an error says. */
export const errorAnswer = z.object({
  error: z.object({
    code: z.string().describe('stable; the table is ERRORS.md'),
    message: z.string(),
    hint: z.string().describe('what to do'),
  }),
});

/** The document itself. */
export const getDocument = {
  ...{ name: 'getDocument', method: 'get', path: '/openapi.json', role: 'watch', kind: 'value' },
  ...{ summary: 'this document', answer: z.looseObject({ openapi: z.string() }) },
} as const satisfies Operation;

/** The OpenAPI 3.1 document of some operations, by the schemas that they are served with. */
export function documentOf(daemon: string, served: readonly Operation[]): Json {
  const operations = [...served, getDocument].toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const paths: Record<string, Json> = {};
  for (const operation of operations)
    paths[operation.path] = { ...paths[operation.path], [operation.method]: operationOf(operation) };
  return {
    openapi: '3.1.0',
    info: { title: `Sharestream ${daemon}`, version: VERSION, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: BASE }],
    paths,
    components: {
      schemas: schemasOf(operations),
      responses: { Refused: jsonOf('what was refused, and why', 'Error') },
      securitySchemes: { token: { type: 'http', scheme: 'bearer' } },
    },
  };
}

function operationOf(operation: Operation): Json {
  const { name, method, role, summary, params, query, body, kind } = operation;
  const isRead = method === 'get';
  const parameters = [...parametersOf(params, 'path'), ...parametersOf(query, 'query')];
  return {
    ...{ operationId: name, summary, 'x-role': role },
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body && { requestBody: { content: { 'application/json': { schema: schemaOf(body) } } } }),
    responses: {
      200: kind === 'events' ? eventsOf(operation) : pageOrValue(operation),
      ...(isRead ? { 304: { description: 'as the tag in If-None-Match' } } : {}),
      default: { $ref: '#/components/responses/Refused' },
    },
    security: [...(isRead ? [{}] : []), { token: [] }],
  };
}

function pageOrValue({ name, kind, summary }: Pick<Operation, 'name' | 'kind' | 'summary'>): Json {
  const answer = jsonOf(summary, answerName({ name }));
  if (kind !== 'page') return answer;
  const content = { ...(answer['content'] as Json), 'text/csv': { schema: { type: 'string' } } };
  return {
    ...{ ...answer, content },
    headers: { 'next-cursor': { schema: { type: 'string' }, description: 'of CSV that has another page' } },
  };
}

function eventsOf({ summary }: Operation): Json {
  return { description: summary, content: { 'text/event-stream': { schema: { type: 'string' } } } };
}

function jsonOf(description: string, schema: string): Json {
  return {
    description,
    content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } },
  };
}

function parametersOf(schema: z.ZodObject | undefined, place: 'path' | 'query'): Json[] {
  if (schema === undefined) return [];
  const { properties = {} } = schemaOf(schema);
  return Object.entries(properties as Readonly<Record<string, Json>>).map(
    ([name, { description, ...rest }]) => ({
      ...{ name, in: place, required: place === 'path', schema: rest },
      ...(description === undefined ? {} : { description }),
    }),
  );
}

export function answerName({ name }: Pick<Operation, 'name'>): string {
  return `${name.slice(0, 1).toUpperCase()}${name.slice(1)}Answer`;
}

/** What is said of a schema, and how: what a later version adds is no fault of an answer. */
const AS_SENT = {
  io: 'input',
  /** JSON's own range of whole numbers goes without saying. */
  override: ({ jsonSchema }: { jsonSchema: z.core.JSONSchema.BaseSchema }): void => {
    if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
    if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  },
} as const;

function schemaOf(schema: z.ZodType): Json {
  const { $schema: _draft, ...rest } = z.toJSONSchema(schema, AS_SENT);
  return rest;
}

/** The answers by their names, and the rows of lists by theirs, which stand wherever they are used. */
function schemasOf(operations: readonly Operation[]): Json {
  const named = z.registry<{ id: string }>();
  named.add(errorAnswer, { id: 'Error' });
  for (const { name, kind, answer } of operations)
    if (kind === 'page') named.add(answer, { id: name.replace(/^list/, '').replace(/s$/, '') });
  for (const operation of operations) {
    const schema = answerSchema(operation);
    named.add(named.has(schema) ? z.lazy(() => schema) : schema, { id: answerName(operation) });
  }
  const uri = (id: string): string => `#/components/schemas/${id}`;
  const { schemas } = z.toJSONSchema(named, { ...AS_SENT, uri });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, { $schema: _draft, $id: _place, ...schema }]) => [name, schema]),
  );
}
