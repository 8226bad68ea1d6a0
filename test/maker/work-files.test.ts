import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  endLine,
  jobsOfLines,
  keptLine,
  workFilesIn,
  workFilesInMemory,
} from '../../src/maker/work-files.ts';
import { offer } from './work-fixtures.ts';

const root = fs.mkdtempSync(path.join(tmpdir(), 'work-files-'));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));
let folders = 0;
const newFolder = (): string => {
  folders += 1;
  return path.join(root, String(folders), 'jobs');
};

describe.each([
  ['in a folder', () => workFilesIn(newFolder())],
  ['in memory', workFilesInMemory],
])('the job files of contracts %s', (_, make) => {
  it('have the lines that were appended, and nothing of another contract', async () => {
    const files = make();
    expect(await files.read('a')).toEqual([]);
    await files.append('a', ['1', '2']);
    await files.append('a', ['3']);
    await files.append('b', ['4']);
    expect([await files.read('a'), await files.read('b')]).toEqual([['1', '2', '3'], ['4']]);
    await files.append('a', []);
    await files.replace('a', ['5', '6']);
    await files.append('a', ['7']);
    expect(await files.read('a')).toEqual(['5', '6', '7']);
    await files.remove('a');
    await files.remove('a');
    expect([await files.read('a'), await files.read('b')]).toEqual([[], ['4']]);
    await files.replace('b', []);
    expect(await files.read('b')).toEqual([]);
  });
});

describe('a job file', () => {
  it('is for its owner alone, and so is its folder', async () => {
    const folder = newFolder();
    await workFilesIn(folder).append('a', ['1']);
    expect(fs.readdirSync(folder)).toEqual(['a.jobs']);
    const modes = [folder, path.join(folder, 'a.jobs')].map((name) => fs.statSync(name).mode & 0o777);
    expect(modes).toEqual([0o700, 0o600]);
    expect(fs.readFileSync(path.join(folder, 'a.jobs'), 'utf8')).toBe('1\n');
  });

  it('that cannot be read or written is an error, of the file system', async () => {
    const folder = newFolder();
    const files = workFilesIn(folder);
    fs.mkdirSync(path.join(folder, 'a.jobs'), { recursive: true });
    await expect(files.read('a')).rejects.toThrow('EISDIR');
    await expect(files.append('a', ['1'])).rejects.toThrow('EISDIR');
    await expect(files.replace('a', ['1'])).rejects.toThrow();
  });

  it('that the disk takes a part of is an error, and its torn line none of a job', async () => {
    const folder = newFolder();
    const files = workFilesIn(folder);
    await files.append('a', ['1']);
    // The rest of a file that may not grow beyond so much.
    const script = `
      import { workFilesIn } from ${JSON.stringify(path.resolve('src/maker/work-files.ts'))};
      process.on('SIGXFSZ', () => {});
      await workFilesIn(${JSON.stringify(folder)}).append('a', ['x'.repeat(8192)]);`;
    const limited = 'ulimit -f 2; exec "$0" --input-type=module --eval "$1"';
    const run = spawnSync('sh', ['-c', limited, process.execPath, script], { encoding: 'utf8' });
    expect([run.status, run.stderr]).toEqual([1, expect.stringContaining('short write')]);
    expect(fs.statSync(path.join(folder, 'a.jobs')).size).toBeLessThan(8192);
    expect(jobsOfLines(await files.read('a'))).toEqual({ jobs: [], newestId: 0 });
  });

  it('leaves no file open', async () => {
    if (!fs.existsSync('/proc/self/fd')) return;
    const files = workFilesIn(newFolder());
    const before = fs.readdirSync('/proc/self/fd').length;
    for (let each = 0; each < 5; each += 1) await files.append('a', [String(each)]);
    expect(fs.readdirSync('/proc/self/fd').length).toBe(before);
  });
});

describe('the line of a job', () => {
  const kept = {
    ...{ instance: 'ab'.repeat(16), pool: 'pool' },
    job: { id: 5, ...offer(1, 1), clean: false },
  } as unknown as Parameters<typeof keptLine>[0];

  const of = (id: number) => ({ ...kept, job: { ...kept.job, id } });
  const idsOf = (...lines: readonly string[]) => jobsOfLines(lines).jobs.map(({ job }) => job.id);

  it('gives it back', () => {
    const line = keptLine(kept);
    const { jobs, newestId } = jobsOfLines([line]);
    expect([jobs.map(keptLine), newestId]).toEqual([[line], 5]);
    expect(jobs).toEqual(jobsOfLines([keptLine({ ...kept, more: 1 } as typeof kept)]).jobs);
  });

  it('that was not written to its end is none, and neither is another document', () => {
    const line = keptLine(kept);
    const halves = [0, 1, Math.floor(line.length / 2), line.length - 1].map((end) => line.slice(0, end));
    expect(jobsOfLines([...halves, '{}', '[]', 'null', '1'])).toEqual({ jobs: [], newestId: 0 });
  });

  it('is over with a later line that ends it, and no other is', () => {
    const lines = [5, 6, 7].map((id) => keptLine(of(id)));
    expect(idsOf(...lines, endLine([5, 7]))).toEqual([6]);
    expect(idsOf(...lines, endLine([5, 7]).slice(0, -1))).toEqual([5, 6, 7]);
    expect(idsOf(endLine([5]), ...lines)).toEqual([5, 6, 7]);
    expect(jobsOfLines([...lines, endLine([7, 900])]).newestId).toBe(900);
  });
});
