import { createHash } from 'node:crypto';

type Fault = {
  readonly id: string;
  readonly fileName: string;
  readonly location: { readonly start: { readonly line: number; readonly column: number } };
  readonly mutatorName: string;
  readonly replacement?: string;
};

/** Chance decides to which of `of` parts a fault belongs, and always decides alike. */
function isInPart(fault: Fault, which: number, of: number): boolean {
  const { fileName, location, mutatorName, replacement } = fault;
  const path = fileName.slice(fileName.lastIndexOf('src/'));
  const text = JSON.stringify([path, location.start.line, location.start.column, mutatorName, replacement]);
  return createHash('sha256').update(text).digest().readUInt32LE(0) % of === which - 1;
}

/** What Stryker calls a checker: faults that it refuses are not run. */
class SampleChecker {
  async init(): Promise<void> {}

  async check(faults: readonly Fault[]): Promise<Record<string, object>> {
    const [which, of] = process.env['MUTANTS_PART']!.split('/').map(Number);
    return Object.fromEntries(
      faults.map((fault) => [
        fault.id,
        isInPart(fault, which!, of!)
          ? { status: 'passed' }
          : { status: 'compileError', reason: 'not of this part' },
      ]),
    );
  }
}

export const strykerPlugins = [{ kind: 'Checker', name: 'sample', injectableClass: SampleChecker }];
