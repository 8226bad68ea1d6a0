import { cpSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ROOT } from '../source-tree.ts';

export type Instruction = { readonly word: string; readonly rest: string };

/** The lines of a Dockerfile, each whole. */
export function instructionsOf(text: string): readonly Instruction[] {
  return text
    .replaceAll('\\\n', '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
    .map((line) => {
      const [, word, rest] = /^(\w+)\s+(.*)$/.exec(line)!;
      return { word: word!, rest: rest! };
    });
}

/** What an image has beside its files. */
export type Image = {
  readonly root: string;
  readonly workdir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly healthcheck: readonly string[];
};

type Stage = { -readonly [name in keyof Image]: Image[name] };

export type ImageDeps = {
  /** Where the stages get their folders. */
  readonly folder: string;
  /** Runs a line of the shell in a folder, with what stands in the environment. */
  readonly run: (line: string, cwd: string, env: Readonly<Record<string, string>>) => Promise<void>;
};

/**
 * Does what a Dockerfile says, in folders in place of images: absolute paths are those of the stage, and what
 * belongs to a user belongs to whoever runs this. The base image is the machine.
 */
export async function buildImage(instructions: readonly Instruction[], deps: ImageDeps): Promise<Image> {
  const stages = new Map<string, Stage>();
  let stage: Stage | undefined;
  for (const { word, rest } of instructions) {
    if (word === 'FROM') {
      const name = / AS (\w+)$/i.exec(rest)?.[1] ?? `stage ${stages.size}`;
      stage = {
        ...{ root: join(deps.folder, name), workdir: '/', env: {} },
        ...{ entrypoint: [], healthcheck: [] },
      };
      mkdirSync(stage.root, { recursive: true });
      stages.set(name, stage);
      continue;
    }
    // What is before the first stage is for its FROM: the base, which is the machine here.
    if (stage === undefined && word === 'ARG') continue;
    if (stage === undefined) throw new Error(`${word} before FROM`);
    if (word === 'COPY') copy(rest, stage, stages);
    else if (word === 'RUN')
      await deps.run(inStage(rest, stage), join(stage.root, stage.workdir), stage.env);
    else settle(word, rest, stage);
  }
  if (stage === undefined) throw new Error('no FROM');
  return stage;
}

function settle(word: string, rest: string, stage: Stage): void {
  switch (word) {
    case 'WORKDIR':
      stage.workdir = resolve(stage.workdir, rest);
      mkdirSync(join(stage.root, stage.workdir), { recursive: true });
      return;
    case 'ARG':
    case 'ENV': {
      const pairs = rest.split(' ').map((pair) => pair.split('=') as [string, string]);
      const inStageOf = (text: string): string =>
        text.startsWith('$')
          ? stage.env[text.slice(1)]!
          : text.startsWith('/')
            ? join(stage.root, text)
            : text;
      stage.env = {
        ...stage.env,
        ...Object.fromEntries(pairs.map(([name, value]) => [name, inStageOf(value)])),
      };
      return;
    }
    case 'ENTRYPOINT':
      stage.entrypoint = JSON.parse(rest) as string[];
      return;
    case 'HEALTHCHECK':
      stage.healthcheck = JSON.parse(rest.slice(rest.indexOf('CMD ') + 4)) as string[];
      return;
    case 'VOLUME':
    case 'USER':
    case 'EXPOSE':
    case 'STOPSIGNAL':
    case 'CMD':
      return;
    default:
      throw new Error(`what is ${word}?`);
  }
}

function copy(rest: string, stage: Stage, stages: ReadonlyMap<string, Stage>): void {
  const words = rest.split(/\s+/);
  const [, from] = /^--from=(\w+)$/.exec(words[0]!) ?? [];
  const [target, ...sources] = words.slice(from === undefined ? 0 : 1).reverse() as [string, ...string[]];
  const source = from === undefined ? ROOT : stages.get(from)!.root;
  const to = join(stage.root, resolve(stage.workdir, target));
  for (const each of sources.toReversed()) {
    const path = join(source, each);
    const isFolder = statSync(path).isDirectory();
    const place = !isFolder && target.endsWith('/') ? join(to, basename(path)) : to;
    const isFile = !isFolder && !target.endsWith('/') && target !== './';
    mkdirSync(isFile ? join(place, '..') : join(place, isFolder ? '.' : '..'), { recursive: true });
    cpSync(path, place, { recursive: true, verbatimSymlinks: true });
  }
}

/** A line of the shell with the paths of its stage, and nobody's but the own files. */
function inStage(line: string, stage: Stage): string {
  return line.replace(/ -[og] \w+/g, '').replace(/(?<= )\/(?=\w)/g, `${stage.root}/`);
}

export const dockerfile = (): readonly Instruction[] =>
  instructionsOf(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'));
