import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '../base/errors.ts';
import { type Ladder, MAX_LADDER_CHARS, parseLadder } from '../channel/ladder-file.ts';

/** Ending of the names of ladder files. */
export const LADDER_ENDING = '.ladder.json';

/** True where a file takes the place of what is known: it is of a newer state, or written later. */
export function isNewer(shown: Ladder, known: Ladder | undefined): boolean {
  if (known === undefined || shown.n > known.n) return true;
  return shown.n === known.n && shown.writtenAtMs >= known.writtenAtMs;
}

/**
 * The newest ladder of each channel in some files and folders, which another machine refreshes. What was good
 * once is kept: nothing that is torn, older or gone takes its place.
 */
export class LadderFiles {
  readonly #paths: readonly string[];
  readonly #newest = new Map<string, Ladder>();
  readonly #texts = new Map<string, string>();
  readonly #problems = new Map<string, string>();

  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  get ladders(): readonly Ladder[] {
    return [...this.#newest.values()];
  }

  /** What is wrong with which file at present. */
  get problems(): readonly { readonly file: string; readonly why: string }[] {
    return [...this.#problems].map(([file, why]) => ({ file, why }));
  }

  /** Reads what changed. Never throws for what a file, a disk or a mount does. */
  async refresh(): Promise<void> {
    this.#problems.clear();
    for (const path of this.#paths) {
      await this.#noting(path, async () => {
        for (const file of await filesAt(path)) await this.#noting(file, () => this.#read(file));
      });
    }
  }

  async #read(file: string): Promise<void> {
    const { size } = await stat(file);
    if (size > MAX_LADDER_CHARS)
      throw new CodedError('bad_ladder', 'the file is too large', { type: 'torn' });
    const text = await readFile(file, 'utf8');
    if (this.#texts.get(file) === text) return;
    const ladder = parseLadder(text);
    this.#texts.set(file, text);
    if (isNewer(ladder, this.#newest.get(ladder.channelId))) this.#newest.set(ladder.channelId, ladder);
  }

  async #noting(path: string, read: () => Promise<void>): Promise<void> {
    try {
      await read();
    } catch (error) {
      const isExpected = error instanceof CodedError || (error as NodeJS.ErrnoException).code !== undefined;
      if (!isExpected) throw error;
      this.#problems.set(path, (error as Error).message);
    }
  }
}

async function filesAt(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = (await readdir(path)).filter((name) => name.endsWith(LADDER_ENDING)).toSorted();
  return names.map((name) => join(path, name));
}
