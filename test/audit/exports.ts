import { type AuditReport, auditFiles } from '../../src/audit/audit.ts';
import { EVIDENCE_MAGIC, type Frame, FrameWriter, readFrames } from '../../src/audit/frames.ts';
import { concat } from '../../src/base/bytes.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { EvidenceExport, exportedContract } from '../../src/operator/evidence-export.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';

/** What the export command writes of the only contract of a ledger. */
export async function exportOf(ledger: Ledger): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  const evidence = new EvidenceExport(ledger, await exportedContract(ledger));
  for await (const part of evidence.bytes({ atMs: 1_700_000_000_000, program: 'test' })) parts.push(part);
  return concat(...parts);
}

/** Bytes as a disk gives them, in parts that end anywhere. */
export async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export const kernel = createPortableKernel(1024);

export function audit(...files: readonly Uint8Array[]): Promise<AuditReport> {
  const sources = files.map((bytes, index) => ({ name: `file ${index}`, chunks: chunksOf(bytes, 10_007) }));
  return auditFiles(sources, kernel);
}

export async function framesOf(bytes: Uint8Array): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of readFrames(chunksOf(bytes, 4_099))) frames.push(frame);
  return frames;
}

/** A file of these frames, with the digests that go with them: what an exporter that lies would write. */
export function seal(frames: readonly Frame[]): Uint8Array {
  const writer = new FrameWriter();
  return concat(EVIDENCE_MAGIC, ...frames.map(({ kind, payload }) => writer.frame(kind, payload)));
}
