import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { verifyLedger } from '../../src/ledger/verify.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { equivalenceWith } from './equivalence.ts';
import { temporaryDirectory } from './temporary.ts';

const temporary = temporaryDirectory();
let files = 0;

equivalenceWith('SQLite', 25, () => {
  files += 1;
  const path = temporary.file(`${files}.db`);
  return {
    open: (clock) => openSqliteLedger({ path, groupCommitMs: 0 }, { log: silentLogger, clock }),
    verify: () => verifyLedger(path),
  };
});
