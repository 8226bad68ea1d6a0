import type { Context } from './common-config.ts';
import type {
  DestinationConfig,
  QuotaConfig,
  SecretSource,
  UpstreamConfig,
  UpstreamTlsConfig,
} from './config.ts';
import type { DESTINATION, POOL } from './destination-options.ts';
import type { Values } from './options.ts';

export type DestinationValues = Values<(typeof DESTINATION)['rows']>;

type UpstreamValues = Values<(typeof POOL)['rows']>;

/** One destination. @param versionMask what the miners may roll, asked for unless it says otherwise */
export function destinationOf(
  item: DestinationValues,
  path: string,
  versionMask: number,
  context: Context,
): DestinationConfig {
  const { role, rpcUrl, payoutMode } = item;
  if (item.profile !== 'braidpool') {
    const onlyBraidpool = `is for profile = "braidpool" only`;
    if (rpcUrl !== undefined) context.refuse(`${path}.rpc_url`, onlyBraidpool);
    if (payoutMode !== 'normal') context.refuse(`${path}.payout_mode`, onlyBraidpool);
  }
  return {
    ...upstreamOf({ ...item, versionMask: item.versionMask ?? versionMask }, path, context),
    ...{ role, rpcUrl, payoutMode, quota: quotaOf(item, path, context) },
    links: { max: item.maxLinks, spare: item.spareLinks, extranonce1: item.linkExtranonce1 },
  };
}

/** One pool or node, whatever it is used for. */
export function upstreamOf(item: UpstreamValues, path: string, context: Context): UpstreamConfig {
  const { name, url, worker, profile, priority, suggestDifficulty, versionMask } = item;
  if (profile === 'braidpool' && suggestDifficulty !== undefined)
    context.refuse(`${path}.suggest_difficulty`, 'is not for Braidpool, which would not judge by it');
  return {
    ...{ name, host: url.host, port: url.port, worker, profile, priority, versionMask },
    password: passwordOf(item.password, item.passwordFile, `${path}.password_file`, context),
    tls: tlsOf(item, path, context),
    versionReading: item.versionReading,
    resume: item.resume,
    extranonceSubscribe: item.extranonceSubscribe,
    suggestDifficulty,
    handshakeTimeoutMs: item.handshakeTimeout,
    allowRedirect: item.allowRedirect,
  };
}

function passwordOf(text: string, file: string | undefined, path: string, context: Context): SecretSource {
  if (file === undefined) return { type: 'text', text };
  return { type: 'file', file: context.secretFile(path, file) };
}

function quotaOf(item: DestinationValues, path: string, context: Context): QuotaConfig | undefined {
  const { weight, rate, role } = item;
  if (weight !== undefined && rate !== undefined) {
    context.refuse(`${path}.rate`, 'and weight exclude each other');
  }
  if (weight !== undefined && role === 'contract') {
    context.refuse(`${path}.weight`, 'is for fallbacks; a contract comes before them, and may have a rate');
  }
  if (rate !== undefined) return { type: 'rate', hashesPerSecond: rate };
  return weight === undefined ? undefined : { type: 'weight', weight };
}

function tlsOf(item: UpstreamValues, path: string, context: Context): UpstreamTlsConfig | undefined {
  const { url, tlsCaFile, tlsServerName, tlsVerify } = item;
  if (url.secure) {
    const caFile = tlsCaFile === undefined ? undefined : context.textFile(`${path}.tls_ca_file`, tlsCaFile);
    return { caFile, serverName: tlsServerName, verify: tlsVerify };
  }
  const useless = 'says nothing without TLS: write the url with stratum+ssl://';
  if (tlsCaFile !== undefined) context.refuse(`${path}.tls_ca_file`, useless);
  if (tlsServerName !== undefined) context.refuse(`${path}.tls_server_name`, useless);
  if (!tlsVerify) context.refuse(`${path}.tls_verify`, useless);
  return undefined;
}
