import * as crypto from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createTlsIdentity } from '../../src/peer/certificate.ts';
import { random } from './tls-pair.ts';

describe('the TLS certificate', () => {
  it('is a self-signed X.509 certificate that belongs to its key', () => {
    const now = Date.UTC(2026, 10, 21);
    const { cert, key } = createTlsIdentity({ random, nowMs: now });
    const parsed = new crypto.X509Certificate(cert);
    expect(parsed.verify(parsed.publicKey)).toBe(true);
    expect(parsed.checkPrivateKey(crypto.createPrivateKey(key))).toBe(true);
    expect(parsed.subject).toBe('CN=sharestream');
    expect(parsed.issuer).toBe(parsed.subject);
    expect(new Date(parsed.validFrom).getTime()).toBe(now - 86_400_000);
    expect(new Date(parsed.validTo).getUTCFullYear()).toBe(9999);
    expect(parsed.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
  });

  it('is another one at every start', () => {
    const first = createTlsIdentity({ random, nowMs: 0 });
    const second = createTlsIdentity({ random, nowMs: 0 });
    expect(first.key).not.toBe(second.key);
    expect(new crypto.X509Certificate(first.cert).serialNumber).not.toBe(
      new crypto.X509Certificate(second.cert).serialNumber,
    );
  });
});
