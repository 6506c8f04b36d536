/* Builds the edge list, docs/model.md (1) to (3), (5), (6): filter the candidates to the cutoff,
 * sort by target and by source, and give every edge its geometry.  Counterpart: core/graph/edges.c
 * and core/graph/edge_geometry.c.
 *
 * A warp has one owned atom, and its lanes look at 32 candidates at a time.  count_edges counts the
 * edges into every atom and out of every node.  Scans turn counts into where each atom's edges
 * begin: CUB's, or one block in shared memory where nodes are few, which saves launches.
 * fill_edges goes over the candidates again: a ballot numbers those that are edges, so that edges
 * have the order of the candidates, and each lane writes its edge's vector, record and table
 * index.  Edges out of a node are collected by atomics, in any order, so `finish` puts each node's
 * in ascending order: sums over edges then have a fixed order.  Geometry is computed in double and
 * stored in fp32.
 *
 * find_visits lists the nodes that have edges in a chunk: a thread has a node. */
#include "graph/edge_list.cuh"

#include <cub/block/block_scan.cuh>
#include <cub/device/device_scan.cuh>

namespace {

constexpr double SMALLEST_DISTANCE = 1e-3; /* A, as core/graph/edges.h */
constexpr double TIE = 0.01;               /* A^2, as there */
constexpr int WARPS = 8;                   /* a block, each with one atom */

__device__ __forceinline__ double3 difference(const double *position, int a, int b) {
    const double *r = position + 3 * (size_t)a, *s = position + 3 * (size_t)b;
    return make_double3(r[0] - s[0], r[1] - s[1], r[2] - s[2]);
}

__device__ __forceinline__ double squared(double3 v) { return v.x * v.x + v.y * v.y + v.z * v.z; }

__device__ __forceinline__ bool is_edge(const candidate_list &c, int i, int j, double3 *vector) {
    if (j == i || c.element[j] == 0) return false;
    *vector = difference(c.position, j, i);
    return squared(*vector) < c.cutoff * c.cutoff;
}

/* The same among the nearest that count. */
__device__ __forceinline__ bool is_near_edge(const candidate_list &c, int i, int j, double reach,
                                             double3 *vector) {
    return is_edge(c, i, j, vector) && squared(*vector) <= reach;
}

__global__ void start(candidate_list c, edge_list_buffers to, step_report *report) {
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n <= c.nodes) {
        to.first[n] = to.cursor[n] = 0;
        if (to.outer_first) to.outer_first[n] = 0;
    }
    if (n == 0) {
        *report = step_report{};
        report->overlap[0] = report->overlap[1] = 0x7fffffff;
    }
}

/* A warp: edges into atom i no farther than this, A^2. */
__device__ int count_within(const candidate_list &c, int i, double reach) {
    int count = 0;
    for (long long k = c.first[i] + (threadIdx.x & 31); k < c.first[i + 1]; k += 32) {
        double3 vector;
        count += is_near_edge(c, i, c.neighbour[k], reach, &vector);
    }
    return __reduce_add_sync(0xffffffffu, count);
}

/* A warp: how far edges into atom i may reach.  Bisection as core/graph/edges.c does it, over
 * numbers that are ordered as bits. */
__device__ double reach_of(const candidate_list &c, int i) {
    const double all = c.cutoff * c.cutoff;
    if (c.max_neighbors == 0 || count_within(c, i, all) <= c.max_neighbors) return all;
    long long low = 0, high = __double_as_longlong(all);
    while (low < high) {
        const long long middle = low + (high - low) / 2;
        if (count_within(c, i, __longlong_as_double(middle)) > c.max_neighbors)
            high = middle;
        else
            low = middle + 1;
    }
    return __longlong_as_double(low) + TIE;
}

/* A warp an owned atom: edges of both kinds into it, and how many leave every node. */
__global__ void count_edges(candidate_list c, edge_list_buffers to, step_report *report) {
    int i = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x & 31, kept = 0, outer = 0;
    if (i >= c.owned || c.element[i] == 0) return;
    double reach = c.cutoff * c.cutoff;
    if (c.max_neighbors > 0 && c.first[i + 1] - c.first[i] > c.max_neighbors) {
        reach = reach_of(c, i);
        if (lane == 0 && reach != c.cutoff * c.cutoff) atomicAdd(&report->crowded, 1);
    }
    for (long long k = c.first[i] + lane; k < c.first[i + 1]; k += 32) {
        double3 vector;
        int j = c.neighbour[k];
        if (!is_near_edge(c, i, j, reach, &vector)) continue;
        const int source = c.node[j];
        kept++;
        outer += source >= c.owned;
        atomicAdd(&to.cursor[source], 1);
    }
    kept = __reduce_add_sync(0xffffffffu, kept);
    outer = __reduce_add_sync(0xffffffffu, outer);
    if (lane == 0) {
        to.reach[i] = reach;
        to.first[i] = kept - outer;
        if (to.outer_first) to.outer_first[i] = outer;
    }
}

__device__ __forceinline__ bool too_many(const edge_list_buffers &to, const step_report *report) {
    return report->edges[0] > to.inner || report->edges[1] > to.outer;
}

/* Behind the scans: report the numbers of edges ... */
__device__ void report_edges(const candidate_list &c, const edge_list_buffers &to,
                             step_report *report) {
    report->edges[0] = to.first[c.nodes];
    report->edges[1] = to.outer_first ? to.outer_first[c.nodes] : 0;
    const bool empty = too_many(to, report);
    to.end[0] = empty ? 0 : report->edges[0];
    to.end[1] = to.inner + (empty ? 0 : report->edges[1]);
}

/* ... let outer edges begin behind the room for inner ones, and with more edges than there is room
 * for, build an empty list. */
__device__ void bound_node(const edge_list_buffers &to, const step_report *report, int n) {
    const bool empty = too_many(to, report);
    if (empty) to.first[n] = to.out_first[n] = 0;
    if (to.outer_first) to.outer_first[n] = to.inner + (empty ? 0 : to.outer_first[n]);
    to.cursor[n] = to.out_first[n];
}

__global__ void report_count(candidate_list c, edge_list_buffers to, step_report *report) {
    report_edges(c, to, report);
}

__global__ void bound(candidate_list c, edge_list_buffers to, const step_report *report) {
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n <= c.nodes) bound_node(to, report, n);
}

/* All of that in one block, for so many nodes. */
constexpr int SCAN_THREADS = 1024, SCAN_ITEMS = 4, FEW_NODES = SCAN_THREADS * SCAN_ITEMS - 1;

__device__ void scan_few(const int *in, int *out, int count) {
    using block_scan = cub::BlockScan<int, SCAN_THREADS>;
    __shared__ typename block_scan::TempStorage scratch;
    int item[SCAN_ITEMS];
    for (int i = 0; i < SCAN_ITEMS; i++) {
        const int at = threadIdx.x * SCAN_ITEMS + i;
        item[i] = at < count ? in[at] : 0;
    }
    block_scan(scratch).ExclusiveSum(item, item);
    for (int i = 0; i < SCAN_ITEMS; i++) {
        const int at = threadIdx.x * SCAN_ITEMS + i;
        if (at < count) out[at] = item[i];
    }
    __syncthreads();
}

__global__ void __launch_bounds__(SCAN_THREADS)
    scan_and_bound(candidate_list c, edge_list_buffers to, step_report *report) {
    scan_few(to.first, to.first, c.nodes + 1);
    if (to.outer_first) scan_few(to.outer_first, to.outer_first, c.nodes + 1);
    scan_few(to.cursor, to.out_first, c.nodes + 1);
    if (threadIdx.x == 0) report_edges(c, to, report);
    __syncthreads();
    for (int n = threadIdx.x; n <= c.nodes; n += SCAN_THREADS) bound_node(to, report, n);
}

__device__ void place_edge(const candidate_list &c, const edge_list_buffers &to, int e, int i,
                           int j, double3 v) {
    int pair = c.element_slot[c.element[j]] * c.elements_present + c.element_slot[c.element[i]];
    double distance = sqrt(squared(v)), at = distance / c.cutoff * (RADIAL_KNOTS - 1);
    int knot = min((int)at, RADIAL_KNOTS - 2);
    to.table_index[e] = {pair * RADIAL_KNOTS + knot, (float)(at - knot)};
    to.vector[e] = make_float4((float)v.x, (float)v.y, (float)v.z, (float)distance);
    to.out_unsorted[atomicAdd(&to.cursor[c.node[j]], 1)] = e;
}

/* Frame and Wigner entries in double, as core/graph/edge_geometry.c; stored in fp32. */
__device__ void harmonics_2(const double *a, const double *b, double *y) {
    const double s = 0.70710678118654752440, t = 0.40824829046386301637;
    y[0] = s * (a[0] * b[2] + a[2] * b[0]);
    y[1] = s * (a[0] * b[1] + a[1] * b[0]);
    y[2] = t * (2 * a[1] * b[1] - a[0] * b[0] - a[2] * b[2]);
    y[3] = s * (a[1] * b[2] + a[2] * b[1]);
    y[4] = s * (a[2] * b[2] - a[0] * b[0]);
}

__device__ void place_record(double3 v, double cutoff, float *record) {
    const double s = 0.70710678118654752440, t = 0.40824829046386301637;
    double d = sqrt(squared(v)), x[3], n[3] = {v.x / d, v.y / d, v.z / d}, z[3];
    int axis = fabs(n[0]) < 0.7 ? 0 : 2;
    for (int i = 0; i < 3; i++) x[i] = (i == axis) - (axis == 0 ? n[0] : n[2]) * n[i];
    double length = sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2]);
    for (int i = 0; i < 3; i++) x[i] /= length;
    z[0] = x[1] * n[2] - x[2] * n[1];
    z[1] = x[2] * n[0] - x[0] * n[2];
    z[2] = x[0] * n[1] - x[1] * n[0];
    double xx[5], xy[5], xz[5], yy[5], yz[5], zz[5];
    harmonics_2(x, x, xx);
    harmonics_2(x, n, xy);
    harmonics_2(x, z, xz);
    harmonics_2(n, n, yy);
    harmonics_2(n, z, yz);
    harmonics_2(z, z, zz);
    for (int i = 0; i < 3; i++) {
        record[i] = (float)x[i];
        record[3 + i] = (float)n[i];
        record[6 + i] = (float)z[i];
    }
    for (int b = 0; b < 5; b++) {
        record[9 + b] = (float)(2 * s * xz[b]);
        record[14 + b] = (float)(2 * s * xy[b]);
        record[19 + b] = (float)(t * (2 * yy[b] - xx[b] - zz[b]));
        record[24 + b] = (float)(2 * s * yz[b]);
        record[29 + b] = (float)(s * (zz[b] - xx[b]));
    }
    double u = d / cutoff, u2 = u * u, u4 = u2 * u2;
    record[RECORD_ENVELOPE] = (float)(1 + u4 * u * (-21 + 35 * u - 15 * u2));
    record[RECORD_ENVELOPE + 1] = (float)(u4 * (-105 + 210 * u - 105 * u2) / cutoff);
}

/* Where the edges of one kind go, for one target. */
struct target_places {
    int next, bound;
    __device__ __forceinline__ target_places(const int *first, int i)
        : next(first ? first[i] : 0), bound(first ? first[i + 1] : 0) {}
    __device__ __forceinline__ bool left() const { return next < bound; }
    /* The place of this lane's edge, if it has one. */
    __device__ __forceinline__ int take(bool edge) {
        const unsigned mask = __ballot_sync(0xffffffffu, edge), lane = threadIdx.x & 31;
        const int at = next + __popc(mask & ((1u << lane) - 1));
        next += __popc(mask);
        return edge && at < bound ? at : -1;
    }
};

/* A warp an owned atom: its edges in the order of its candidates. */
__global__ void fill_edges(candidate_list c, edge_list_buffers to, step_report *report) {
    int i = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x & 31;
    if (i >= c.owned || c.element[i] == 0) return;
    const double reach = to.reach[i];
    target_places inner(to.first, i), outer(to.outer_first, i);
    for (long long k = c.first[i]; k < c.first[i + 1] && (inner.left() || outer.left()); k += 32) {
        double3 vector = {0, 0, 0};
        int j = k + lane < c.first[i + 1] ? c.neighbour[k + lane] : i;
        const bool edge = is_near_edge(c, i, j, reach, &vector),
                   is_outer = edge && c.node[j] >= c.owned;
        int at = inner.take(edge && !is_outer);
        if (to.outer_first) at = max(at, outer.take(is_outer));
        if (at < 0) continue;
        place_edge(c, to, at, i, j, vector);
        place_record(vector, c.cutoff, to.record + (size_t)at * EDGE_RECORD);
        if (!(sqrt(squared(vector)) > SMALLEST_DISTANCE)) atomicMin(&report->overlap[0], i);
    }
}

/* The source of the overlap that was found, the lowest one; by a whole block. */
__device__ void name_overlap(const candidate_list &c, step_report *report) {
    int i = report->overlap[0];
    __syncthreads();
    if (i == 0x7fffffff) {
        if (threadIdx.x == 0) report->overlap[0] = report->overlap[1] = -1;
        return;
    }
    for (long long k = c.first[i] + threadIdx.x; k < c.first[i + 1]; k += blockDim.x) {
        double3 vector;
        int j = c.neighbour[k];
        if (is_edge(c, i, j, &vector) && !(sqrt(squared(vector)) > SMALLEST_DISTANCE))
            atomicMin(&report->overlap[1], j);
    }
}

/* A warp a node: the slots of `out` were taken in any order; put them in ascending order.  The last
 * block names the overlap. */
__global__ void finish(candidate_list c, edge_list_buffers to, step_report *report) {
    if (blockIdx.x == gridDim.x - 1) return name_overlap(c, report);
    int n = blockIdx.x * WARPS + threadIdx.x / 32, lane = threadIdx.x & 31;
    if (n >= c.nodes) return;
    int from = to.out_first[n], end = to.out_first[n + 1];
    for (int k = from + lane; k < end; k += 32) {
        int edge = to.out_unsorted[k], rank = 0;
        for (int other = from; other < end; other++) rank += to.out_unsorted[other] < edge;
        to.out[from + rank] = edge;
    }
}

/* The places in `out` of a node's edges that a span covers. */
__device__ int first_not_below(const int *__restrict__ out, int from, int to, int edge) {
    while (from < to) {
        int middle = (from + to) / 2;
        if (out[middle] < edge)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}
__device__ int2 edges_out_of(const edge_list &edges, int node, int begin, int end) {
    const int from = edges.out_first[node], to = edges.out_first[node + 1];
    /* most nodes have no edge in a small span: two looks tell, a search takes a dozen */
    if (from == to || edges.out[from] >= end || edges.out[to - 1] < begin)
        return make_int2(from, from);
    return make_int2(first_not_below(edges.out, from, to, begin),
                     first_not_below(edges.out, from, to, end));
}

/* A thread a node. */
__global__ void find_visits(edge_list edges, edge_span span) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31;
    const int end = min(span.begin + span.size, *edges.end);
    int2 in = {0, 0}, out = {0, 0};
    if (n < edges.nodes) {
        in = make_int2(max(edges.first[n], span.begin), min(edges.first[n + 1], end));
        out = edges_out_of(edges, n, span.begin, end);
    }
    if (in.x < in.y) {
        if (in.x == span.begin) edges.extent->first_target = n;
        if (in.y == end) edges.extent->end_target = n + 1;
    }
    const bool concerned = in.x < in.y || out.x < out.y;
    const unsigned mask = __ballot_sync(0xffffffffu, concerned);
    int at = 0;
    if (lane == 0 && mask) at = atomicAdd(&edges.extent->visits, __popc(mask));
    at = __shfl_sync(0xffffffffu, at, 0) + __popc(mask & ((1u << lane) - 1));
    if (concerned) edges.visit[at] = {n, in.x, in.y, out.x, out.y};
}

unsigned blocks_for(int items, int a_block) { return (unsigned)((items + a_block - 1) / a_block); }

void scan(cudaStream_t stream, const edge_list_buffers &to, const int *in, int *out, int count) {
    size_t bytes = to.scan_bytes;
    cub::DeviceScan::ExclusiveSum(to.scan_scratch, bytes, in, out, count, stream);
}

} // namespace

size_t edge_list_scan_bytes(int nodes) {
    size_t bytes = 0;
    int *none = nullptr;
    cub::DeviceScan::ExclusiveSum(nullptr, bytes, none, none, nodes + 1);
    return bytes;
}

void edge_list_count(cudaStream_t stream, const candidate_list &from, const edge_list_buffers &to,
                     step_report *report) {
    start<<<blocks_for(from.nodes + 1, 256), 256, 0, stream>>>(from, to, report);
    if (from.owned > 0)
        count_edges<<<blocks_for(from.owned, WARPS), WARPS * 32, 0, stream>>>(from, to, report);
    if (from.nodes <= FEW_NODES) {
        scan_and_bound<<<1, SCAN_THREADS, 0, stream>>>(from, to, report);
        return;
    }
    scan(stream, to, to.first, to.first, from.nodes + 1);
    if (to.outer_first) scan(stream, to, to.outer_first, to.outer_first, from.nodes + 1);
    scan(stream, to, to.cursor, to.out_first, from.nodes + 1);
    report_count<<<1, 1, 0, stream>>>(from, to, report);
    bound<<<blocks_for(from.nodes + 1, 256), 256, 0, stream>>>(from, to, report);
}

void edge_list_build(cudaStream_t stream, const candidate_list &from, const edge_list_buffers &to,
                     step_report *report) {
    edge_list_count(stream, from, to, report);
    if (from.owned > 0)
        fill_edges<<<blocks_for(from.owned, WARPS), WARPS * 32, 0, stream>>>(from, to, report);
    const unsigned blocks = from.owned > 0 ? blocks_for(from.nodes, WARPS) : 0;
    finish<<<blocks + 1, WARPS * 32, 0, stream>>>(from, to, report);
}

void chunk_nodes_find(cudaStream_t stream, const edge_list &edges, edge_span span) {
    if (edges.nodes == 0) return;
    cudaMemsetAsync(edges.extent, 0, sizeof *edges.extent, stream);
    find_visits<<<blocks_for(edges.nodes, 256), 256, 0, stream>>>(edges, span);
}
