import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { answer, refusal } from '../cli/program.ts';

/** A dozen processes, one after the other: slow on a machine that does other things too. */
vi.setConfig({ testTimeout: 240_000 });

const directory = mkdtempSync(join(tmpdir(), 'sharestream-audit-test-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

type FileReport = {
  role: string;
  shares: number;
  commitments: number;
  countersigned: number;
  paid_sat: string;
};

describe('an auditor', () => {
  it('reproduces every sat of a contract of two daemons from the export of either', async () => {
    const demo = await answer(['demo', '--seconds', '12', '--out', directory, '--stratum', '127.0.0.1:0']);
    expect(demo['close_confirmed']).toBe(true);
    const files: string[] = [];
    for (const side of ['proxy', 'maker']) {
      const file = join(directory, `${side}.evidence`);
      const words = [
        'evidence',
        'export',
        '--ledger',
        join(directory, side, 'ledger.sqlite'),
        '--out',
        file,
      ];
      expect((await answer(words))['states']).toBe(Number(demo['state_number']) + 1);
      expect(await refusal(words)).toBe('1 output_refused');
      files.push(file);
    }
    for (const named of [files, files.slice(0, 1), files.slice(1)]) {
      const report = await answer(['audit', ...named]);
      expect(report).toMatchObject({ verdict: 'agreed', finding: null, rulings: [] });
      for (const each of report['files'] as FileReport[]) {
        expect(each.paid_sat).toBe(demo['paid_sat']);
        expect(each.countersigned).toBe(Number(demo['state_number']));
        expect(each.shares).toBe((demo['shares'] as { in_evidence: number }).in_evidence);
      }
    }
    const cut = join(directory, 'cut.evidence');
    writeFileSync(cut, readFileSync(files[0]!).subarray(0, -1));
    expect(await refusal(['audit', cut])).toBe('1 bad_evidence');
  });
});
