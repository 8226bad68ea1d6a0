import type { Env } from '../config/common-config.ts';
import type { DifficultyConfig, ListenerConfig, StratumConfig } from '../config/config.ts';
import { readSecretFile, readTextFile } from '../config/secrets.ts';
import type { ListenerOptions } from '../downstream/server/listeners.ts';
import type { DownstreamOptions } from '../downstream/server/options.ts';
import type { VardiffOptions } from '../downstream/session/vardiff.ts';

/** A farm that comes back at once is let in as fast as five seconds' worth allows. */
const BURST_SECONDS = 5;

/** What the configuration says about the miners' side; certificates and keys are read here. */
export function downstreamOptions(
  stratum: StratumConfig,
  env: Env,
): Omit<DownstreamOptions, 'extranonce2Size'> {
  const { limits } = stratum;
  return {
    listeners: [
      plainListener(stratum),
      ...stratum.listeners.map((listener) => listenerOptions(stratum, listener, env)),
    ],
    versionMask: stratum.versionMask,
    sessions: stratum.maxSessions,
    sessionsPerAddress: limits.maxSessionsPerAddress,
    acceptRate: rateOf(limits.acceptsPerSecond),
    acceptRatePerAddress: rateOf(limits.acceptsPerSecondPerAddress),
    lineRate: rateOf(limits.linesPerSecond),
    subscribeTimeoutMs: limits.subscribeTimeoutMs,
    authorizeTimeoutMs: limits.authorizeTimeoutMs,
    idleTimeoutMs: limits.idleTimeoutMs,
    keepAliveMs: limits.keepAliveMs,
    ...(limits.resumeForMs === 0 ? { resumable: 0 } : { resumeMs: limits.resumeForMs }),
    sanctions: {
      resendAfter: limits.resendAfter,
      reconnectAfter: limits.reconnectAfter,
      banAfter: limits.banAfter,
    },
    banMs: limits.banForMs,
    allow: limits.allow,
    deny: limits.deny,
    reconnectAtClose: stratum.reconnectAtClose,
  };
}

function rateOf(perSecond: number): { readonly perSecond: number; readonly burst: number } {
  return { perSecond, burst: BURST_SECONDS * perSecond };
}

function plainListener(stratum: StratumConfig): ListenerOptions {
  const { listen, reusePort, difficulty, unaskedVersions } = stratum;
  return {
    ...{ ...listen, reusePort, difficulty: vardiffOptions(difficulty) },
    takesUnaskedVersions: unaskedVersions,
  };
}

function listenerOptions(stratum: StratumConfig, listener: ListenerConfig, env: Env): ListenerOptions {
  const { listen, tls, proxies, difficulty: least, unaskedVersions } = listener;
  const { reusePort, difficulty } = stratum;
  const harder =
    least === undefined ? difficulty : { ...difficulty, start: least, min: least, smallMin: least };
  const base = {
    ...{ ...listen, reusePort, proxies, difficulty: vardiffOptions(harder) },
    takesUnaskedVersions: unaskedVersions,
  };
  if (tls === undefined) return base;
  return { ...base, tls: { cert: readTextFile(tls.certFile), key: readSecretFile(tls.keyFile, env) } };
}

function vardiffOptions(difficulty: DifficultyConfig): VardiffOptions {
  const { mode, start, min, smallMin, max, sharesPerMinute } = difficulty;
  if (mode === 'fixed') return { start, floor: start, ceiling: start, least: min, sharesPerMinute };
  return { start, floor: min, smallFloor: smallMin, ceiling: max, least: min, sharesPerMinute };
}
