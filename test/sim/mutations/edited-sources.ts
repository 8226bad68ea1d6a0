import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import type { Edit } from './mutation.ts';

/**
 * Loaded before everything else of a process: it reads the files of the program with the edits of one
 * mutation. The files themselves are never touched.
 */

const SOURCES = new URL('../../../src/', import.meta.url).href;

/** Names the edits for a process, as JSON. */
export const EDITS_VARIABLE = 'SHARESTREAM_SIM_EDITS';

/** A file with an edit. Throws where the text is not there, or more than once. */
export function edited(source: string, { file, from, to }: Edit): string {
  const parts = source.split(from);
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} times: ${from}`);
  return parts.join(to);
}

/** A file of the program as it is. */
export const sourceOf = (file: string): string => readFileSync(new URL(file, SOURCES), 'utf8');

const edits = JSON.parse(process.env[EDITS_VARIABLE] ?? '[]') as readonly Edit[];
if (edits.length > 0)
  registerHooks({
    load: (url, context, nextLoad) => {
      const loaded = nextLoad(url, context);
      const own = edits.filter(({ file }) => url === `${SOURCES}${file}`);
      if (own.length === 0) return loaded;
      return { ...loaded, source: own.reduce(edited, Buffer.from(loaded.source as Uint8Array).toString()) };
    },
  });
