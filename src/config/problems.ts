import { CodedError } from '../base/errors.ts';
import { editDistance } from '../base/spelling.ts';

/** Where a value came from. */
export type Source =
  | { readonly type: 'default' }
  | { readonly type: 'file'; readonly line?: number }
  | { readonly type: 'env'; readonly name: string }
  | { readonly type: 'flag' };

export type Problem = {
  readonly path: string;
  readonly source?: Source;
  readonly message: string;
  /** What the sample shows still stands there. */
  readonly isPlaceholder?: true;
};

/**
 * Everything wrong with a configuration, in one `config_invalid`, or `config_placeholder` where nothing else
 * is. Each problem is in `meta.problems` too.
 */
export function configError(problems: readonly Problem[], file: string | undefined): CodedError {
  const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
  const lines = [...problems]
    .sort((a, b) => lineOf(a) - lineOf(b))
    .map((problem) => `  ${describeProblem(problem)}`);
  const where = file === undefined ? '' : ` in ${file}`;
  const isFresh = problems.every(({ isPlaceholder }) => isPlaceholder === true);
  const code = isFresh ? 'config_placeholder' : 'config_invalid';
  return new CodedError(code, `${count}${where}\n${lines.join('\n')}`, { problems });
}

/** A problem on a line, with the place its value came from. */
export function describeProblem(problem: Problem): string {
  return `${sourceText(problem.source)}${problem.path} ${problem.message}`;
}

function sourceText(source: Source | undefined): string {
  if (source?.type === 'file') return source.line === undefined ? '' : `line ${source.line}: `;
  if (source?.type === 'env') return `${source.name}: `;
  if (source?.type === 'flag') return 'flag: ';
  return '';
}

function lineOf(problem: Problem): number {
  return problem.source?.type === 'file' ? (problem.source.line ?? 0) : Number.MAX_SAFE_INTEGER;
}

/** The known path nearest to a mistyped one, if it is near enough to be meant. */
export function nearest(path: string, known: readonly string[]): string | undefined {
  const [parent, name] = parts(path);
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const [otherParent, otherName] = parts(candidate);
    const moved = otherName === name ? 1 : Number.POSITIVE_INFINITY;
    const misspelt = editDistance(
      otherParent === parent ? name : path,
      otherParent === parent ? otherName : candidate,
    );
    const limit =
      otherParent === parent ? Math.max(1, Math.floor(name.length / 3)) : Math.floor(path.length / 6);
    const distance = Math.min(moved, misspelt <= limit ? misspelt : Number.POSITIVE_INFINITY);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function parts(path: string): [parent: string, name: string] {
  const dot = path.lastIndexOf('.');
  return [path.slice(0, Math.max(0, dot)), path.slice(dot + 1)];
}
