import type { z } from 'zod';
import type { Operation } from '../../src/api/operation.ts';
import { READS, WRITES, type Write, writeOperation } from '../../src/api/operations.ts';

/** All operations of each daemon. */
export const OPERATIONS: Readonly<Record<keyof typeof READS, readonly Operation[]>> = {
  proxy: [...Object.values(READS.proxy), ...written(WRITES.proxy)],
  maker: [...Object.values(READS.maker), ...written(WRITES.maker)],
  auditor: [...Object.values(READS.auditor), ...written(WRITES.auditor)],
  watch: Object.values(READS.watch),
};

function written(rows: Readonly<Record<string, Write>>): Operation[] {
  return Object.entries(rows).map(([path, row]) => writeOperation(path, row));
}

export type MakerStatusAnswer = z.output<typeof READS.maker.getStatus.answer>;
