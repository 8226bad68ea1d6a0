import { toHex } from '../base/bytes.ts';

/** The document that says up to which row the journal was let go of: so the chain itself vouches for it. */
export const LET_GO = { kind: 'segment', id: 'let-go' } as const;

/** The body of the document `LET_GO`. */
export function letGoBody(end: { readonly lastSeq: number; readonly endHash: Uint8Array }): string {
  return JSON.stringify({ last_seq: end.lastSeq, hash: toHex(end.endHash) });
}
