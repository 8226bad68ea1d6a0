import { MakerBook } from './maker-book.ts';
import { MakerMiners } from './maker-miners.ts';
import { MakerPools } from './maker-pools.ts';
import { MakerRisk } from './maker-risk.ts';
import { MakerSystem } from './maker-system.ts';
import { startPage } from './shell.ts';

startPage({
  daemon: 'maker',
  tabs: [
    { path: 'book', title: 'Book', View: MakerBook },
    { path: 'miners', title: 'Miners', View: MakerMiners },
    { path: 'risk', title: 'Risk', View: MakerRisk },
    { path: 'pools', title: 'Pools', View: MakerPools },
    { path: 'system', title: 'System', View: MakerSystem },
  ],
  alertOf: ({ durability, contracts_without_peer: away }) => {
    if (durability !== 'sound') return 'ledger';
    return Number(away) > 0 ? 'miner away' : undefined;
  },
});
