/** A doubly linked list through the folios themselves: constant-time moves, no allocation. */
import type { Folio } from './folio.js';

export class FolioList {
  first: Folio | undefined;
  last: Folio | undefined;
  count = 0;

  append(folio: Folio): void {
    folio.lruPrev = this.last;
    folio.lruNext = undefined;
    if (this.last === undefined) this.first = folio;
    else this.last.lruNext = folio;
    this.last = folio;
    this.count++;
  }

  remove(folio: Folio): void {
    const { lruPrev, lruNext } = folio;
    if (lruPrev === undefined) this.first = lruNext;
    else lruPrev.lruNext = lruNext;
    if (lruNext === undefined) this.last = lruPrev;
    else lruNext.lruPrev = lruPrev;
    folio.lruPrev = undefined;
    folio.lruNext = undefined;
    this.count--;
  }

  moveToEnd(folio: Folio): void {
    if (this.last === folio) return;
    this.remove(folio);
    this.append(folio);
  }
}
