import type { Context } from './common-config.ts';
import type { ListenerConfig, StratumConfig, StratumLimits } from './config.ts';
import type { Values } from './options.ts';
import type { STRATUM } from './stratum-options.ts';
import type { HostPort } from './values.ts';

type StratumValues = Values<(typeof STRATUM)['rows']>;
type ListenerValues = StratumValues['listener'][number];

/** The miners' side, with the relations between its options. @param metrics a port it may not take */
export function stratumOf(values: StratumValues, metrics: HostPort, context: Context): StratumConfig {
  const { listen, reusePort, reconnectAtClose, versionMask, unaskedVersions, maxSessions } = values;
  const smallMin = Math.min(values.difficulty.smallMin, values.difficulty.min);
  const difficulty = { ...values.difficulty, smallMin };
  if (difficulty.min > difficulty.max) {
    context.refuse('stratum.difficulty.min', 'must not exceed stratum.difficulty.max');
  } else if (difficulty.start < difficulty.min || difficulty.start > difficulty.max) {
    context.refuse('stratum.difficulty.start', 'must lie between stratum.difficulty.min and max');
  }
  if (samePort(listen, metrics)) {
    context.refuse('metrics.listen', 'must be another port than stratum.listen');
  }
  const endpoints: (readonly [string, HostPort])[] = [['stratum.listen', listen]];
  const listeners = values.listener.map((item, index): ListenerConfig => {
    const path = `stratum.listener.${index}`;
    const twin = endpoints.find(([, other]) => sameAddress(other, item.listen));
    if (twin !== undefined) context.refuse(`${path}.listen`, `is taken by ${twin[0]}`);
    if (samePort(item.listen, metrics)) context.refuse(`${path}.listen`, 'is taken by metrics.listen');
    endpoints.push([`${path}.listen`, item.listen]);
    if (item.difficulty !== undefined && item.difficulty > difficulty.max) {
      context.refuse(`${path}.difficulty`, 'must not exceed stratum.difficulty.max');
    }
    return listenerOf(item, path, context);
  });
  const limits = limitsOf(values.limits, context);
  return {
    ...{ listen, listeners, reusePort, reconnectAtClose, versionMask, unaskedVersions },
    ...{ maxSessions, limits, difficulty },
  };
}

function listenerOf(item: ListenerValues, path: string, context: Context): ListenerConfig {
  const { listen, tlsCertFile, tlsKeyFile, proxies, difficulty } = item;
  const unaskedVersions = item.unaskedVersions ?? difficulty !== undefined;
  const base = { listen, proxies, difficulty, unaskedVersions };
  if (tlsCertFile !== undefined && tlsKeyFile !== undefined) {
    const certFile = context.textFile(`${path}.tls_cert_file`, tlsCertFile);
    const keyFile = context.secretFile(`${path}.tls_key_file`, tlsKeyFile);
    return { ...base, tls: { certFile, keyFile } };
  }
  if (tlsCertFile !== undefined || tlsKeyFile !== undefined) {
    const missing = tlsCertFile === undefined ? 'tls_cert_file' : 'tls_key_file';
    context.refuse(`${path}.${missing}`, 'is missing: tls_cert_file and tls_key_file belong together');
  }
  return { ...base, tls: undefined };
}

function limitsOf(values: StratumValues['limits'], context: Context): StratumLimits {
  const { subscribeTimeout, authorizeTimeout, idleTimeout, keepAlive, resumeFor, banFor, ...rest } = values;
  if (rest.reconnectAfter < rest.resendAfter) {
    context.refuse('stratum.limits.reconnect_after', 'must not be less than stratum.limits.resend_after');
  }
  if (rest.banAfter < rest.reconnectAfter) {
    context.refuse('stratum.limits.ban_after', 'must not be less than stratum.limits.reconnect_after');
  }
  return {
    ...rest,
    subscribeTimeoutMs: subscribeTimeout,
    authorizeTimeoutMs: authorizeTimeout,
    idleTimeoutMs: idleTimeout,
    keepAliveMs: keepAlive,
    resumeForMs: resumeFor,
    banForMs: banFor,
  };
}

export function samePort(a: HostPort, b: HostPort): boolean {
  return a.port === b.port && a.port !== 0;
}

/** One port may be listened to at several addresses. */
function sameAddress(a: HostPort, b: HostPort): boolean {
  return samePort(a, b) && a.host === b.host;
}

/** Miners or a proxy at this address may be ourselves. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}
