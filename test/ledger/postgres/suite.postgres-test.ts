import { openPostgresLedger } from '../../../src/ledger/postgres/postgres-ledger.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import { ledgerSuite } from '../suite.ts';
import { postgresStand } from './stand.ts';

const stand = postgresStand();

ledgerSuite('postgres', ({ clock, ...options }) =>
  openPostgresLedger({ ...stand.options(), groupCommitMs: 0, ...options }, { log: silentLogger, clock }),
);
ledgerSuite('postgres, grouped', ({ clock, ...options }) =>
  openPostgresLedger(
    { ...stand.options(), groupCommitMs: 3, maxRowsPerCommit: 5, ...options },
    { log: silentLogger, clock },
  ),
);
