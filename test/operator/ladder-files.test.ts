import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_LADDER_CHARS, makeLadder, printLadder } from '../../src/channel/ladder-file.ts';
import { signState } from '../../src/channel/states.ts';
import { LadderFiles } from '../../src/operator/ladder-files.ts';
import { EH, makeParams, makerSigner, minerSigner } from '../channel/fixtures.ts';

const params = makeParams();
const MARGINS = { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36 };
const NOW = 1_800_000_000_000;
const textOf = (n: number, writtenAtMs = NOW, isClosing = false): string =>
  printLadder(
    makeLadder(
      params,
      signState(params, n, BigInt(n) * EH, makerSigner),
      MARGINS,
      minerSigner,
      writtenAtMs,
      isClosing,
    ),
  );

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ladders-'));
  file = join(folder, 'a.ladder.json');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function read(
  files: LadderFiles,
  text?: string,
): Promise<readonly (readonly [n: number, writtenAtMs: number])[]> {
  if (text !== undefined) writeFileSync(file, text);
  await files.refresh();
  return files.ladders.map(({ n, writtenAtMs }) => [n, writtenAtMs]);
}

describe('ladder files', () => {
  it('are read again when they change', async () => {
    const files = new LadderFiles([file]);
    expect(await read(files, textOf(1))).toEqual([[1, NOW]]);
    expect(await read(files)).toEqual([[1, NOW]]);
    expect(await read(files, textOf(2))).toEqual([[2, NOW]]);
    expect(await read(files, textOf(2, NOW + 60_000, true))).toEqual([[2, NOW + 60_000]]);
    expect(files.ladders[0]!.isClosing).toBe(true);
    expect(files.problems).toEqual([]);
  });

  it('that are older, torn, too large, or gone take the place of nothing good', async () => {
    const files = new LadderFiles([folder]);
    const good = [[5, NOW]];
    expect(await read(files, textOf(5))).toEqual(good);
    expect(await read(files, textOf(4, NOW + 60_000))).toEqual(good);
    expect(await read(files, textOf(5, NOW - 1))).toEqual(good);
    expect(files.problems).toEqual([]);
    for (const bad of [
      textOf(6).slice(0, 900),
      '',
      'x'.repeat(MAX_LADDER_CHARS + 1),
      textOf(6).replace('1', '2'),
    ]) {
      expect(await read(files, bad)).toEqual(good);
      expect(files.problems).toMatchObject([{ file, why: expect.stringContaining('bad_ladder') }]);
    }
    rmSync(file);
    expect(await read(files)).toEqual(good);
    rmSync(folder, { recursive: true });
    expect(await read(files)).toEqual(good);
    expect(files.problems).toMatchObject([{ file: folder, why: expect.stringContaining('ENOENT') }]);
    mkdirSync(folder);
    expect(await read(files, textOf(6))).toEqual([[6, NOW]]);
    expect(files.problems).toEqual([]);
  });

  it('may lie at several places, of which the newest counts; others in a folder are left alone', async () => {
    const other = mkdtempSync(join(tmpdir(), 'ladders-'));
    writeFileSync(join(other, 'b.ladder.json'), textOf(7));
    writeFileSync(join(folder, 'notes.txt'), 'x');
    const files = new LadderFiles([folder, other, join(folder, 'none.json')]);
    expect(await read(files, textOf(3))).toEqual([[7, NOW]]);
    expect(files.problems).toMatchObject([{ file: join(folder, 'none.json') }]);
    rmSync(other, { recursive: true });
  });
});
