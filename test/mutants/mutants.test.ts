import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { judgeFaults, type Verdict } from './mutants.ts';

const folder = mkdtempSync(join(tmpdir(), 'planted-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const PLANTED = {
  'src/planted.ts': `
export const LIMIT = 2 + 1;
export function isAllowed(value: number): boolean {
  return value <= LIMIT;
}
export function sumTo(last: number): number {
  let sum = 0;
  for (let next = 1; next <= last; next++) sum += next;
  return sum;
}
export async function warn(isBad: boolean): Promise<void> {
  if (isBad) throw new Error('bad');
}
export function neverCalled(): number {
  return 1 - 1;
}
export async function reply(isThere: boolean): Promise<string> {
  if (!isThere) await new Promise(() => undefined);
  return 'here';
}
`,
  // The bound itself is not tried.
  'src/planted.test.ts': `
import { afterAll, expect, it } from 'vitest';
const { isAllowed, reply, sumTo, warn } = await ${'import'}('./planted.ts');
let isOpen = true;
afterAll(() => { isOpen = false; });
it('allows little', () => expect(isOpen && isAllowed(1)).toBe(true));
it('refuses much', () => expect(isAllowed(9)).toBe(false));
it('warns', () => { void warn(false); expect(1).toBe(1); });
it('adds', () => expect(sumTo(3)).toBe(6));
it('answers', async () => expect(await reply(true)).toBe('here'));
it('works once alone', () => { expect(isOpen).toBe(true); isOpen = 'once' as never; });
`,
};

it('tells a fault that a test finds from one that none does, and ends those that never end', async () => {
  for (const [path, text] of Object.entries(PLANTED)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const verdicts = await judgeFaults({
    root: folder,
    scratch: join(folder, 'scratch'),
    sources: ['src/planted.ts'],
    testFiles: ['src/planted.test.ts'],
    choose: (faults) => faults,
    withStatic: true,
    onVerdict: () => undefined,
    log: () => undefined,
  });
  const about = (line: number, replacement: string): Partial<Verdict> | undefined =>
    verdicts.find((verdict) => verdict.line === line && verdict.replacement === replacement);

  expect(about(4, 'value < LIMIT')).toMatchObject({ status: 'survived' });
  expect(about(4, 'value > LIMIT')).toMatchObject({
    status: 'killed',
    by: 'src/planted.test.ts > allows little',
  });
  expect(about(4, 'true')).toMatchObject({ status: 'killed', by: 'src/planted.test.ts > refuses much' });
  // Endless, but the switch of the fault counts.
  expect(about(8, 'next--')).toMatchObject({ status: 'killed' });
  // An error that no one catches.
  expect(about(12, 'true')).toMatchObject({ status: 'killed', by: 'src/planted.test.ts > warns' });
  expect(about(15, '1 + 1')).toMatchObject({ status: 'uncovered' });
  expect(about(18, 'true')).toMatchObject({ status: 'timeout' });
  // At import, in a process of its own.
  expect(about(2, '2 - 1')).toMatchObject({ status: 'survived' });
}, 120_000);
