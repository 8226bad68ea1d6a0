import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readDocument } from './documents.ts';

const text = readDocument('README.md');

describe('README.md', () => {
  it('names each dependency and what it is for', () => {
    const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
      dependencies: Record<string, string>;
      optionalDependencies: Record<string, string>;
      devDependencies: Record<string, string>;
    };
    const { dependencies, optionalDependencies, devDependencies } = manifest;
    const names = Object.keys({ ...dependencies, ...optionalDependencies, ...devDependencies });
    expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
  });

  it('is short enough to be read to the end', () => {
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(15_000);
  });

  it('shows its two commands and a picture on the first screen', () => {
    const screen = text.split('\n').slice(0, 40).join('\n');
    expect(screen).toContain('npm ci && npm run demo');
    expect(screen).toContain('npm ci && npm test');
    expect(screen).toContain('market maker');
  });
});
