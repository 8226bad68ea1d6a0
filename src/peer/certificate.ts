import * as crypto from 'node:crypto';
import { concat } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';

/** A private key and certificate for `node:tls`, as PEM texts. */
export type TlsIdentity = { readonly key: string; readonly cert: string };

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const EXPLICIT_0 = 0xa0;

/** ecdsa-with-SHA256, 1.2.840.10045.4.3.2. */
const ECDSA_WITH_SHA256 = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02);
/** commonName, 2.5.4.3. */
const COMMON_NAME = Uint8Array.of(0x55, 0x04, 0x03);

/**
 * Creates a self-signed X.509 v3 certificate over a new P-256 key (RFC 5280). It only carries the TLS
 * handshake: a peer is known by its node key, which signs the TLS exporter (`handshake.ts`), so the
 * certificate is made anew at every start. It has no end: expiry is the well-known "99991231235959Z".
 */
export function createTlsIdentity(deps: { readonly random: Random; readonly nowMs: number }): TlsIdentity {
  const { publicKey, privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const serial = Uint8Array.from(deps.random.bytes(16));
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const algorithm = der(SEQUENCE, der(OBJECT_ID, ECDSA_WITH_SHA256));
  const name = der(
    SEQUENCE,
    der(SET, der(SEQUENCE, der(OBJECT_ID, COMMON_NAME), der(UTF8_STRING, ascii('sharestream')))),
  );
  const dayMs = 86_400_000;
  const body = der(
    SEQUENCE,
    der(EXPLICIT_0, der(INTEGER, Uint8Array.of(2))),
    der(INTEGER, serial),
    algorithm,
    name,
    der(SEQUENCE, validFrom(deps.nowMs - dayMs), der(GENERALIZED_TIME, ascii('99991231235959Z'))),
    name,
    new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
  );
  const signature = new Uint8Array(crypto.sign('sha256', body, privateKey));
  const certificate = der(SEQUENCE, body, algorithm, der(BIT_STRING, Uint8Array.of(0), signature));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: pem('CERTIFICATE', certificate),
  };
}

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concat(...parts);
  return concat(Uint8Array.of(tag, ...derLength(content.length)), content);
}

function derLength(size: number): number[] {
  if (size < 0x80) return [size];
  if (size < 0x100) return [0x81, size];
  return [0x82, size >> 8, size & 0xff];
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
function validFrom(ms: number): Uint8Array {
  const digits = `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
  return digits < '2050' ? der(UTC_TIME, ascii(digits.slice(2))) : der(GENERALIZED_TIME, ascii(digits));
}

function pem(label: string, bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString('base64');
  const lines = text.match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
