import { USER_AGENT } from '../base/version.ts';
import type { Env } from '../config/common-config.ts';
import type { FailoverConfig, SplitConfig, UpstreamConfig, UpstreamTlsConfig } from '../config/config.ts';
import { readSecretFile, readTextFile } from '../config/secrets.ts';
import type { UpstreamClientOptions, UpstreamTls } from '../upstream/client.ts';
import { FAILOVER_OPTIONS, type FailoverOptions } from '../upstream/failover.ts';
import { SPLIT_OPTIONS, type SplitOptions } from '../upstream/split.ts';

/** What the configuration says about one upstream; passwords and certificates are read here. */
export function upstreamOptions(row: UpstreamConfig, env: Env): UpstreamClientOptions {
  const { name, host, port, worker, profile, versionMask, versionReading } = row;
  const password =
    row.password.type === 'text' ? row.password.text : readSecretFile(row.password.file, env);
  return {
    ...{ name, host, port, worker, password, profile, versionMask, versionReading },
    userAgent: USER_AGENT,
    extranonceSubscribe: row.extranonceSubscribe,
    allowRedirect: row.allowRedirect,
    timeouts: { requestMs: row.handshakeTimeoutMs },
    ...(row.tls === undefined ? {} : { tls: tlsOptions(row.tls) }),
    ...(row.resume === undefined ? {} : { resume: row.resume }),
    ...(row.suggestDifficulty === undefined ? {} : { suggestDifficulty: row.suggestDifficulty }),
  };
}

function tlsOptions({ caFile, serverName, verify }: UpstreamTlsConfig): UpstreamTls {
  return {
    verify,
    ...(caFile === undefined ? {} : { caPem: readTextFile(caFile) }),
    ...(serverName === undefined ? {} : { serverName }),
  };
}

export function failoverOptions(config: FailoverConfig): FailoverOptions {
  const { returnAfterMs, maxRejectRatio, maxRoundTripMs } = config;
  return { ...FAILOVER_OPTIONS, returnAfterMs, maxRejectRatio, maxRttMs: maxRoundTripMs };
}

export function splitOptions({ minStayMs, sliceMs, tolerance }: SplitConfig): SplitOptions {
  return { ...SPLIT_OPTIONS, minStayMs, sliceMs, tolerance };
}
