/** A thread that hashes the shares of files beside the audit. */
import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../base/assert.ts';
import { createKernel, type KernelKind } from '../shares/kernel/create-kernel.ts';
import { BlockHasher, type HashedBlock } from './block-hasher.ts';
import type { FrameKind } from './frames.ts';

export type HashingThread = { readonly kernelKind: KernelKind; readonly capacity: number };

export type HashingRequest = {
  /** Which of the files of the audit. */
  readonly file: number;
  readonly kind: FrameKind;
  readonly payload: Uint8Array<ArrayBuffer>;
};

export type HashingReply =
  | { readonly type: 'taken'; readonly block: HashedBlock | undefined }
  | { readonly type: 'bad'; readonly words: string };

const port = parentPort;
assert(port !== null, 'hashing_thread');
const { kernelKind, capacity } = workerData as HashingThread;
const kernel = createKernel(capacity, kernelKind);
const hashers = new Map<number, BlockHasher>();

port.on('message', ({ file, ...frame }: HashingRequest) => {
  const hasher = hashers.get(file) ?? new BlockHasher(kernel);
  hashers.set(file, hasher);
  const block = hasher.take(frame);
  const reply: HashingReply =
    block instanceof Error
      ? { type: 'bad', words: block.message.replace(`${block.code}: `, '') }
      : { type: 'taken', block };
  const parts = block instanceof Error || block === undefined ? [] : [block.hashes, block.contextOf];
  port.postMessage(
    reply,
    parts.map(({ buffer }) => buffer as ArrayBuffer),
  );
});
