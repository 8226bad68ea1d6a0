import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import { documentOf } from '../../src/api/document.ts';
import { ERROR_TABLE } from '../../src/base/errors.ts';
import { OPERATIONS } from './all-operations.ts';

describe.each(Object.entries(OPERATIONS))('the document of the %s', (daemon, operations) => {
  const document = documentOf(daemon, operations);

  it('is OpenAPI 3.1', async () => {
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
  });

  it('is refused by the validator where it is not', async () => {
    const wrong = { ...document, paths: { '/x': { get: { parameters: 7 } } } };
    expect((await new Validator().validate(wrong)).valid).toBe(false);
  });

  it('has each operation once, by its own name, path and role', () => {
    const names = operations.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    const places = operations.map(({ method, path }) => `${method} ${path}`);
    expect(new Set(places).size).toBe(places.length);
    const reads = operations.filter(({ method }) => method === 'get');
    const others = reads.filter(({ role }) => role !== 'watch');
    expect(others.map(({ name, role }) => [name, role])).toEqual(
      daemon === 'proxy' ? [['getPublic', 'none']] : [],
    );
  });

  it('spells every name in snake case, amounts and work as decimal strings with their unit', () => {
    const names: string[] = [];
    const amounts: unknown[] = [];
    const visit = (schema: unknown): void => {
      if (typeof schema !== 'object' || schema === null) return;
      const { properties } = schema as { properties?: Readonly<Record<string, { type?: unknown }>> };
      for (const [name, field] of Object.entries(properties ?? {})) {
        names.push(name);
        const { type } = field;
        if (
          /_(?:sat|hashes)$/.test(name) &&
          type !== 'string' &&
          !(Array.isArray(type) && type.includes('string'))
        )
          amounts.push(name);
      }
      for (const each of Object.values(schema)) visit(each);
    };
    visit(document);
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !/^[a-z][a-z0-9]*(?:_[a-z0-9]+)*$/.test(name))).toEqual([]);
    expect(amounts).toEqual([]);
  });
});

it('each refusal of the API has a status of its own in the table', () => {
  const rows = Object.entries(ERROR_TABLE).flatMap(([code, row]) =>
    'http' in row ? [[code, row.http]] : [],
  );
  expect(Object.fromEntries(rows)).toMatchObject({
    ...{ bad_request: 400, bad_cursor: 400, unauthorized: 401, forbidden: 403, not_found: 404 },
    ...{ method_not_allowed: 405, too_large: 413, unsupported_media_type: 415, too_many_requests: 429 },
  });
});
