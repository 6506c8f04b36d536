/* The order of the nine rows (l, m) of node features and of messages, docs/model.md (7).
 *
 * Node features are l-major: row l * l + l + m.  Messages are m-major, so that the rows that an
 * SO(2) convolution mixes are neighbours:
 *     m = 0: l 0 1 2 | m = +1: l 1 2, m = -1: l 1 2 | m = +2: l 2, m = -2: l 2
 * For mmax 1 a message has the first 7 of them. */
#ifndef UMAS_ROW_ORDER_H
#define UMAS_ROW_ORDER_H

/* Rows of a message, |m| <= mmax; and its radial functions a channel, one for each (|m|, l). */
static inline int message_rows(int mmax) { return mmax == 2 ? 9 : 7; }
static inline int message_radials(int rows) { return rows == 9 ? 6 : 5; }

/* l of every l-major row */
static const int DEGREE_OF_L_MAJOR[9] = {0, 1, 1, 1, 2, 2, 2, 2, 2};

/* Of every m-major row: its l; its l-major row; and which radial function scales it, one for each
 * (|m|, l). */
static const int DEGREE_OF_ROW[9] = {0, 1, 2, 1, 2, 1, 2, 2, 2};
static const int L_MAJOR_OF_ROW[9] = {0, 2, 6, 3, 7, 1, 5, 8, 4};
static const int RADIAL_OF_ROW[9] = {0, 1, 2, 3, 4, 3, 4, 5, 5};

#endif
