import { createApi } from '../api/app.ts';
import { serve, servePage } from '../api/operation.ts';
import { READS, WRITES } from '../api/operations.ts';
import { numberKey } from '../api/page.ts';
import { SAMPLES } from '../api/samples.ts';
import type { Auditor } from '../auditor/auditor.ts';
import { VERSION } from '../base/version.ts';
import type { AuditorConfig } from '../config/config.ts';
import { Refused } from '../http/reply.ts';
import type { Api } from '../http/server.ts';
import {
  type ApiDeps,
  serveActions,
  serveHistory,
  serveWrites,
  servingDeps,
  theContract,
} from './api-parts.ts';
import type { Reload } from './reload.ts';
import type { systemView } from './system-view.ts';

/** What an auditor serves under `/api/v1`: it is looked at, and reads its configuration anew. */
export function auditorApi(
  { network, dataDir }: AuditorConfig,
  auditor: Auditor,
  deps: ApiDeps & {
    readonly reload: Pick<Reload<'auditor'>, 'actions'>;
    readonly system: ReturnType<typeof systemView>;
  },
): Api {
  const { getStatus, getSystem, listContracts, getContract, listMinutes } = READS.auditor;
  const served = [
    serve(getStatus, () => ({
      ...{ role: 'auditor' as const, version: VERSION, network },
      ...{ node_id: auditor.nodeId, auditor_key: auditor.auditorKeyHex },
      ...{ connections: auditor.stats.connections, stats: auditor.stats, contracts: auditor.status },
    })),
    serve(getSystem, deps.system),
    servePage(
      listContracts,
      () => auditor.status,
      ({ contractId }) => contractId,
    ),
    serve(getContract, ({ params }) =>
      theContract(auditor.status, ({ contractId }) => contractId === params.contract_id),
    ),
    ...serveActions(WRITES.auditor, deps.reload.actions),
    serveWrites(deps.journals),
    servePage(
      listMinutes,
      ({ params, query }) => {
        const minutes = auditor.minutesOf(params.contract_id, query.since);
        if (minutes === undefined) throw new Refused('not_found', 'there is no such contract');
        return minutes;
      },
      ({ minute }) => numberKey(minute),
    ),
    ...serveHistory(SAMPLES.auditor, READS.auditor, () => auditorSample(auditor), deps),
  ];
  return createApi('auditor', served, servingDeps(deps, dataDir));
}

function auditorSample({ status, stats }: Auditor) {
  const inDefault = status.filter(({ verdict }) => verdict === 'miner' || verdict === 'maker').length;
  return { contracts: status.length, ...stats, inDefault };
}
