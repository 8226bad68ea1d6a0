import * as fs from 'node:fs';
import { open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { replaceFile, replaceFileAsync } from '../../src/channel/durable-file.ts';

const folder = fs.mkdtempSync(join(tmpdir(), 'durable-order-'));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

/** The module itself, whose functions can be put in the place of others. */
const real = process.getBuiltinModule('node:fs');
const { fsyncSync, renameSync, writeSync } = real;
const said: string[] = [];
afterEach(() => {
  Object.assign(real, { fsyncSync, renameSync, writeSync });
  syncBuiltinESMExports();
  said.length = 0;
});

/** What a descriptor is of. */
const nameOf = (descriptor: number): string =>
  basename(fs.readlinkSync(`/proc/self/fd/${descriptor}`)).replace(basename(folder), 'the folder');

function listen(): void {
  Object.assign(real, {
    fsyncSync: (descriptor: number) => {
      said.push(`sync ${nameOf(descriptor)}`);
      fsyncSync(descriptor);
    },
    renameSync: (from: string, to: string) => {
      said.push(`${basename(from)} to ${basename(to)}`);
      renameSync(from, to);
    },
  });
  syncBuiltinESMExports();
}

describe.runIf(fs.existsSync('/proc/self/fd'))('a file that is replaced', () => {
  it('is on disk before it has its name, and its name before that is told', () => {
    listen();
    replaceFile(join(folder, 'file'), 'text');
    expect(said).toEqual(['sync file.tmp', 'file.tmp to file', 'sync the folder']);
  });

  it('is so too where nothing waits for it', async () => {
    const handle = await open(folder, 'r');
    const handles = Object.getPrototypeOf(handle) as { sync(this: { fd: number }): Promise<void> };
    await handle.close();
    const { sync } = handles;
    handles.sync = function listened(this: { fd: number }) {
      said.push(`sync ${nameOf(this.fd)}, ${fs.existsSync(join(folder, 'other')) ? 'named' : 'not named'}`);
      return sync.call(this);
    };
    try {
      await replaceFileAsync(join(folder, 'other'), 'text');
    } finally {
      handles.sync = sync;
    }
    expect(said).toEqual(['sync other.tmp, not named', 'sync the folder, named']);
  });

  it('keeps its old text where the disk takes only a part of the new', () => {
    const path = join(folder, 'full');
    replaceFile(path, 'old');
    real.writeSync = ((file: number, bytes: Buffer) =>
      writeSync(file, bytes.subarray(1))) as typeof writeSync;
    syncBuiltinESMExports();
    expect(() => replaceFile(path, 'new')).toThrow('short write');
    expect(fs.readFileSync(path, 'utf8')).toBe('old');
  });
});
