/** The thread that writes one segment, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import type { ErrorCode } from '../base/errors.ts';
import { toLedgerFailure } from './sqlite-file.ts';
import { type SealingTask, writeSegment } from './write-segment.ts';
import type { SealedSegment } from './writer-messages.ts';

export type SealingResult =
  | { readonly type: 'sealed'; readonly segment: SealedSegment }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly detail: string };

function resultOf(task: SealingTask): SealingResult {
  try {
    return { type: 'sealed', segment: writeSegment(task) };
  } catch (error) {
    return { type: 'failed', ...toLedgerFailure(error) };
  }
}

assert(parentPort !== null, 'ledger_sealing_thread');
parentPort.postMessage(resultOf(workerData as SealingTask));
