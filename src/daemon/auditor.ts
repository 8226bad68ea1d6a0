import { Auditor } from '../auditor/auditor.ts';
import { systemClock } from '../base/clock.ts';
import { hostPortText } from '../base/host-port.ts';
import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import { COMMIT, VERSION } from '../base/version.ts';
import type { AuditorConfig } from '../config/config.ts';
import type { ExplainedOption } from '../config/load.ts';
import { OpsServer } from '../http/server.ts';
import { createMetrics, type MetricObservers, type MetricSources } from '../metrics/metrics.ts';
import { ledgerPlaceOf, openLedger } from '../operator/ledger-place.ts';
import { openJournals } from './api-parts.ts';
import { auditorApi } from './auditor-api.ts';
import { BackupDate } from './backup-date.ts';
import { type Composed, composed } from './composed.ts';
import { countsOf } from './contract-state.ts';
import { makeDataDir } from './data-dir.ts';
import { DiskSpace } from './disk-space.ts';
import type { LaterPart } from './later-part.ts';
import { openKeys } from './node-keys.ts';
import { startPage } from './page.ts';
import { pageOf } from './page-files.ts';
import { Reload, type RereadSource, replaceAll } from './reload.ts';
import { type DaemonLog, daemonSources, diskSources, ledgerSources } from './shared-metrics.ts';
import { TakenOver } from './standby.ts';
import { sayStatus } from './status-line.ts';
import { systemView } from './system-view.ts';

const clock = systemClock;
const timers = systemTimers;

/** Tells the configuration, without its secrets. */
type AuditorSource = RereadSource<'auditor'> & {
  readonly explain: (flags: Readonly<Record<string, string>>) => readonly ExplainedOption[];
};

/** Builds the auditor in order: keys, ledger, peers, status page. */
export function startAuditor(
  config: AuditorConfig,
  log: DaemonLog,
  source?: AuditorSource,
): Promise<
  Composed<{
    readonly ready: Readonly<Record<string, unknown>>;
    readonly reload: Reload<'auditor'>;
    readonly renewal: Promise<void>;
  }>
> {
  return composed(async (undo) => {
    makeDataDir(config.dataDir);
    const signer = openKeys(config, { random: systemRandom, log });
    const ledgerPlace = ledgerPlaceOf(config);
    let observe: Partial<MetricObservers<'auditor'>> = {};
    const takenOver = new TakenOver(config.ledger);
    const ledger = await openLedger(ledgerPlace, {
      ...{ log: log.child({ part: 'ledger' }), clock, timers },
      observeCommit: (seconds) => observe.ledger_commit_seconds?.(seconds),
      onFailure: (error) => takenOver.onFailure(error),
    });
    undo.defer(() => ledger.close());
    const place = {
      disk: new DiskSpace(config.dataDir, { clock, timers }),
      backup: new BackupDate(ledgerPlace.path, { timers }),
    };
    for (const each of Object.values(place)) {
      each.start();
      undo.defer(async () => each.stop());
    }
    const { listen: peer } = config.peer;
    const allowedNodeIds = new Set(config.peers.allow);
    const auditor = new Auditor(
      { network: config.network, ...peer, allowedNodeIds },
      { ledger, signer, clock, timers, random: systemRandom, log: log.child({ part: 'auditor' }) },
    );
    undo.defer(() => auditor.close());
    const port = await auditor.start();
    const build = { version: VERSION, commit: COMMIT, kernel: 'none', ledger: ledger.engine };
    const waiting: LaterPart[] = [];
    const { listen, allowedHosts } = config.metrics;
    const { nodeId, auditorKeyHex } = auditor;
    const http = log.child({ part: 'http' });
    const metrics = createMetrics({ role: 'auditor', build }, () => ({
      ...ledgerSources(ledger),
      ...diskSources(place),
      ...auditorSources(auditor),
      ...daemonSources(waiting, log),
    }));
    observe = metrics.observe;
    const at = hostPortText(peer.host, port);
    const checks = { ledger: () => (ledger.stats.failed ? 'the ledger cannot be written' : true) } as const;
    const system = systemView({
      ...{ checks, ledger, upkeep: place, clock, log, explain: source && (() => source.explain({})) },
      listeners: () => [{ name: 'peer', at }],
    });
    const reload = new Reload(source, log);
    const journals = await openJournals('auditor', config.ledger.postgres?.instance, {
      ledger,
      clock,
      log,
    });
    const ops = new OpsServer(
      { listen, allowedHosts, serving: ['ledger'] },
      {
        ...{ metrics, timers, log: http, page: pageOf('auditor') },
        checks,
        api: auditorApi(config, auditor, {
          ...{ undo, reload, journals, system, clock, timers, random: systemRandom, log: http },
        }),
      },
    );
    reload.add({
      name: 'peers and page',
      inForce: () => ({ peers: [...allowedNodeIds], hosts: ops.allowedHosts }),
      prepare: ({ config: { peers, metrics } }) => {
        return () => {
          replaceAll(allowedNodeIds, peers.allow);
          auditor.dropUnlisted();
          ops.setAllowedHosts(metrics.allowedHosts);
        };
      },
    });
    const httpAt = await startPage(ops, { waiting, undo, log });
    sayStatus(undo, { timers, log }, () => auditorLine(auditor));
    return {
      reload,
      renewal: takenOver.due,
      ready: { peer: at, http: httpAt, node_id: nodeId, auditor_key: auditorKeyHex },
    };
  });
}

/** Where each metric of the auditor is read at a scrape. */
function auditorSources(auditor: Auditor): MetricSources<'auditor'> {
  return {
    auditor_contracts: () => countsOf(auditor.status.map(({ verdict }) => verdict)),
    auditor_minutes_total: () => auditor.stats.minutes,
    auditor_signed_total: () => auditor.stats.signed,
    auditor_refused_total: () => auditor.stats.refused,
  };
}

function auditorLine({ status, stats }: Auditor): Readonly<Record<string, unknown>> {
  return { contracts: countsOf(status.map(({ verdict }) => verdict)), minutes: stats.minutes };
}
