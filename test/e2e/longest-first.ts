import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The files that take longest, in order: one that began last would be waited for alone. */
const LONGEST = [
  'e2e/readme',
  'e2e/crash-points',
  'e2e/market',
  'e2e/auditor',
  'e2e/unusable-ledger',
  'e2e/bead-theft',
  'e2e/work-binding',
  'e2e/crash',
  'e2e/old-ledger',
  'e2e/frozen-node',
  'mining/dedicated-upstreams',
].map((name) => `/${name}.e2e-test.ts`);

const placeOf = ({ moduleId }: TestSpecification): number => {
  const place = LONGEST.findIndex((name) => moduleId.endsWith(name));
  return place < 0 ? LONGEST.length : place;
};
const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;

/** Runs the longest files of each group first, the others as ever. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => groupOf(a) - groupOf(b) || placeOf(a) - placeOf(b));
  }
}
