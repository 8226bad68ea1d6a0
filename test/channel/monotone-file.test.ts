import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import type { ReplaceStep } from '../../src/channel/durable-file.ts';
import {
  FileMonotoneSigner,
  type FileMonotoneSignerOptions,
  monotoneMemoryToJson,
  parseMonotoneMemory,
} from '../../src/channel/monotone-file.ts';
import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import { sameState, signState } from '../../src/channel/states.ts';
import { code, EH, makeBonds, makeParams, makerSigner, makeTerms, minerSigner } from './fixtures.ts';

const STEPS: readonly ReplaceStep[] = ['opened', 'written', 'synced', 'renamed', 'durable'];

const folder = mkdtempSync(join(tmpdir(), 'sharestream-signer-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = (): string => {
  files += 1;
  return join(folder, `signer-${files}.json`);
};

const params = makeParams({}, makeTerms({ bonds: makeBonds('auditor') }));

function open(path: string, options: Partial<FileMonotoneSignerOptions> = {}): FileMonotoneSigner {
  return new FileMonotoneSigner({ params, path, ...options }, { signer: makerSigner });
}

describe('the memory of a signer', () => {
  it('survives JSON, empty or not, and is bound to its channel', () => {
    const state = signState(params, 3, 7n * EH, makerSigner);
    for (const last of [undefined, state]) {
      const text = JSON.stringify(monotoneMemoryToJson(params, last));
      expect(parseMonotoneMemory(params, JSON.parse(text)).last).toEqual(last);
      expect(code(() => parseMonotoneMemory(makeParams(), JSON.parse(text)))).toBe('bad_signer_file');
    }
  });

  it('is refused in any other shape', () => {
    const good = monotoneMemoryToJson(params, signState(params, 3, 7n * EH, makerSigner));
    const bad: unknown[] = [
      null,
      [],
      {},
      { ...good, version: 2 },
      { ...good, more: 1 },
      { ...good, last: {} },
      { ...good, channel_id: '' },
    ];
    for (const value of bad) expect(code(() => parseMonotoneMemory(params, value))).toBe('bad_signer_file');
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(code(() => parseMonotoneMemory(params, value))).toBe('bad_signer_file');
      }),
    );
  });
});

describe('FileMonotoneSigner', () => {
  it('keeps the rules over restarts with nothing but its file', () => {
    const path = newPath();
    const first = open(path);
    expect(first.last).toBeUndefined();
    first.sign(0, 0n);
    const state = first.sign(1, EH);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const second = open(path);
    expect(second.last).toEqual(state);
    expect(second.sign(1, EH)).toEqual(state);
    expect(code(() => second.sign(1, 2n * EH))).toBe('equivocation');
    expect(code(() => second.sign(0, 0n))).toBe('wrong_state_number');
    expect(code(() => second.sign(3, 5n * EH))).toBe('wrong_state_number');
    expect(code(() => second.sign(2, EH))).toBe('not_monotone');
    expect(code(() => second.sign(2, 1001n * EH))).toBe('over_budget');
    expect(open(path).last).toEqual(state);
    expect(second.sign(2, 2n * EH)).toEqual(signState(params, 2, 2n * EH, makerSigner));
  });

  it('has a state in the file before it is returned, and signs the same one for a caller that lost it', () => {
    const path = newPath();
    const signer = open(path);
    for (let n = 0; n < 5; n += 1) {
      const state = signer.sign(n, BigInt(n) * EH);
      expect(open(path).last).toEqual(state);
    }
    expect(open(path).sign(4, 4n * EH)).toEqual(signer.last);
    expect(existsSync(`${path}.tmp`)).toBe(false);
  });

  it('goes on from whichever is newer, its file or what its caller has', () => {
    const path = newPath();
    const signer = open(path);
    signer.sign(0, 0n);
    const old = signer.sign(1, EH);
    const state = signer.sign(2, 2n * EH);
    expect(open(path, { last: old }).last).toEqual(state);
    const newer = signState(params, 9, 9n * EH, makerSigner);
    expect(open(path, { last: newer }).last).toEqual(newer);
    expect(open(path).last).toEqual(newer);
    const other = signState(params, 9, 10n * EH, makerSigner);
    expect(code(() => open(path, { last: other }))).toBe('equivocation');
    expect(open(newPath(), { last: newer }).last).toEqual(newer);
  });

  it('takes over a newer state durably, and believes nothing it did not sign', () => {
    const path = newPath();
    const signer = open(path);
    signer.sign(0, 0n);
    const newer = signState(params, 6, 6n * EH, makerSigner);
    expect(signer.adopt(newer)).toBe(true);
    expect(signer.adopt(newer)).toBe(false);
    expect(open(path).last).toEqual(newer);
    expect(code(() => signer.adopt({ ...newer, n: 7 }))).toBe('bad_signature');
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('"n":6', '"n":8'));
    expect(code(() => open(path))).toBe('bad_signature');
  });

  it('refuses a file that is torn, empty, of another channel, or cannot be read', () => {
    const path = newPath();
    open(path).sign(0, 0n);
    const text = readFileSync(path, 'utf8');
    for (const broken of ['', 'x', text.slice(0, -5), '{}', 'null']) {
      writeFileSync(path, broken);
      expect(code(() => open(path))).toBe('bad_signer_file');
    }
    writeFileSync(path, text);
    const other = makeParams();
    expect(code(() => open(path, { params: other }))).toBe('bad_signer_file');
    expect(code(() => open(folder))).toBe('bad_signer_file');
  });

  it('stops for good where it cannot write: nothing unwritten leaves it', () => {
    const signer = open(join(folder, 'no', 'where.json'));
    expect(code(() => signer.sign(0, 0n))).toBe('channel_frozen');
    expect(code(() => signer.sign(0, 0n))).toBe('channel_frozen');
    expect(code(() => signer.adopt(signState(params, 1, EH, makerSigner)))).toBe('channel_frozen');
  });

  it('is refused the keys of another party, and writes nothing then', () => {
    const path = newPath();
    const signer = new FileMonotoneSigner({ params, path }, { signer: minerSigner });
    expect(code(() => signer.sign(0, 0n))).toBe('bad_key_file');
    expect(existsSync(path)).toBe(false);
    writeFileSync(path, '');
    chmodSync(path, 0o600);
    expect(code(() => open(path))).toBe('bad_signer_file');
  });

  it('holds the rules whatever is asked of it and wherever it dies', () => {
    const ask = fc.record({
      skip: fc.constantFrom(-1, 0, 0, 0, 1, 1, 1, 1, 2),
      work: fc.integer({ min: 0, max: 3 }),
      death: fc.option(fc.constantFrom(...STEPS), { freq: 3 }),
    });
    fc.assert(
      fc.property(fc.array(ask, { maxLength: 12 }), (asks) => {
        const path = newPath();
        const released = new Map<number, bigint>();
        let death: ReplaceStep | undefined;
        const start = (): FileMonotoneSigner =>
          open(path, {
            onStep: (step) => {
              if (step === death) throw new Error('killed');
            },
          });
        let signer = start();
        for (const { skip, work, death: next } of asks) {
          const n = (signer.last?.n ?? -1) + skip;
          const workHashes = (signer.last?.workHashes ?? 0n) + (n <= 0 ? 0n : BigInt(work) * EH);
          death = next ?? undefined;
          const result = code(() => {
            const state = signer.sign(n, workHashes);
            expect(released.get(n) ?? state.workHashes).toBe(state.workHashes);
            released.set(n, state.workHashes);
          });
          if (result !== 'channel_frozen') continue;
          death = undefined;
          signer = start();
          for (const [number, work] of released) {
            expect(number).toBeLessThanOrEqual(signer.last!.n);
            expect(work).toBeLessThanOrEqual(signer.last!.workHashes);
          }
        }
        const works = [...released].toSorted(([a], [b]) => a - b).map(([, work]) => work);
        expect(works.every((work, index) => index === 0 || work > works[index - 1]!)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it.each(STEPS)('killed once %s has the old state or the new, never less and never neither', (step) => {
    const path = newPath();
    const before = open(path).sign(0, 0n);
    let dies = true;
    const signer = open(path, {
      onStep: (at) => {
        if (dies && at === step) throw new Error('killed');
      },
    });
    expect(code(() => signer.sign(1, EH))).toBe('channel_frozen');
    dies = false;
    const after = open(path);
    const next = signState(params, 1, EH, makerSigner);
    const isNew = step === 'renamed' || step === 'durable';
    expect(sameState(after.last!, isNew ? next : before)).toBe(true);
    if (isNew) expect(code(() => after.sign(1, 2n * EH))).toBe('equivocation');
    expect(after.sign(1, EH)).toEqual(next);
  });

  it('is exchangeable with the one that only remembers', () => {
    const file = open(newPath());
    const memory = new MonotoneSigner({ params }, { signer: makerSigner });
    for (const [n, work] of [
      [0, 0n],
      [1, EH],
      [1, EH],
      [2, 5n * EH],
    ] as const) {
      expect(file.sign(n, work)).toEqual(memory.sign(n, work));
    }
    expect(file.last).toEqual(memory.last);
  });
});

describe('the memory of a signer whose channel changes hands', () => {
  const x = signState(params, 1, EH, makerSigner);
  const y = signState(params, 1, 2n * EH, makerSigner);

  /** Signed state 1 under a lease; whether it reached the ledger is not said here. */
  function signed(token: number): string {
    const path = newPath();
    const signer = open(path, { token });
    signer.sign(0, 0n);
    expect(signer.sign(1, EH)).toEqual(x);
    return path;
  }

  it('gives way to what a later owner signed in its place, and to nothing else', () => {
    const path = signed(5);
    expect(code(() => open(path, { token: 5, last: y }))).toBe('equivocation');
    expect(code(() => open(path, { last: y }))).toBe('equivocation');
    const signer = open(path, { token: 7, last: y });
    expect(signer.last).toEqual(y);
    const next = signer.sign(2, 3n * EH);
    expect(open(path, { token: 7, last: next }).last).toEqual(next);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ token: 7 });
  });

  it('is still ahead of a ledger that lost what left under it', () => {
    const before = signState(params, 0, 0n, makerSigner);
    expect(open(signed(5), { token: 7, last: before }).last).toEqual(x);
    expect(code(() => open(signed(5), { token: 4, last: before }))).toBe('bad_signer_file');
  });

  it('without a lease is as ever, also under one', () => {
    const path = newPath();
    const signer = open(path);
    signer.sign(0, 0n);
    signer.sign(1, EH);
    expect(readFileSync(path, 'utf8')).not.toContain('token');
    expect(code(() => open(path, { token: 9, last: y }))).toBe('equivocation');
    open(path, { token: 9 }).sign(2, 2n * EH);
    expect(open(path, { token: 9 }).last?.n).toBe(2);
    const body = JSON.parse(readFileSync(path, 'utf8')) as object;
    for (const token of [0, 1.5, '9'])
      expect(code(() => parseMonotoneMemory(params, { ...body, token }))).toBe('bad_signer_file');
  });
});
