/* The edge list on the GPU against core/graph/edges.c and core/graph/edge_geometry.c. */
#include <algorithm>

#include "edge_graph.cuh"

extern "C" {
#include "graph/edge_geometry.h"
}

/* What integer outputs hold before: no count, row or edge. */
static ints int_poison(size_t n) { return ints(n, -77); }

/* Everything that edge_list_build reads and writes. */
struct list_on_device {
    device_array<double> position;
    device_array<int> element, node, neighbour, slot;
    device_array<long long> candidate_first;
    device_array<int> count, first, out_first, out, unsorted, cursor;
    device_array<radial_place> place;
    device_array<float> vector, record;
    device_array<char> scan;
    device_array<step_report> report;
    candidate_list candidates;
    edge_list_buffers buffers;

    list_on_device(const scattered_atoms &a, int capacity)
        : list_on_device(a, (size_t)a.atoms.nodes + 1, (size_t)capacity) {}

  private:
    list_on_device(const scattered_atoms &a, size_t rows, size_t n)
        : position(a.position), element(a.element), node(a.node), neighbour(a.neighbour),
          slot(element_slots()),
          candidate_first(std::vector<long long>(a.first.begin(), a.first.end())),
          count(int_poison(1)), first(int_poison(rows)), out_first(int_poison(rows)),
          out(int_poison(n)), unsorted(int_poison(n)), cursor(int_poison(rows)),
          place(std::vector<radial_place>(n, {-77, -77})), vector(poison<float>(4 * n)),
          record(poison<float>(EDGE_RECORD * n)),
          scan(std::vector<char>(edge_list_scan_bytes(a.atoms.nodes))),
          report(std::vector<step_report>(1)) {
        candidates = {a.atoms.owned,   a.atoms.nodes, position, element, node,
                      candidate_first, neighbour,     slot,     PRESENT, CUTOFF};
        buffers = {(int)n,    count,  first,
                   out_first, out,    place,
                   unsorted,  cursor, reinterpret_cast<float4 *>((float *)vector),
                   record,    scan,   edge_list_scan_bytes(a.atoms.nodes)};
    }
};

/* The list read back, and the report. */
struct built_list {
    ints count, first, out_first, out;
    std::vector<radial_place> place;
    floats vector, record;
    step_report report;

    bool operator==(const built_list &o) const {
        return count == o.count && first == o.first && out_first == o.out_first && out == o.out &&
               memcmp(place.data(), o.place.data(), place.size() * sizeof place[0]) == 0 &&
               memcmp(vector.data(), o.vector.data(), vector.size() * sizeof(float)) == 0 &&
               memcmp(record.data(), o.record.data(), record.size() * sizeof(float)) == 0 &&
               report.edges == o.report.edges && report.overlap[0] == o.report.overlap[0] &&
               report.overlap[1] == o.report.overlap[1];
    }
};

static built_list build_once(const scattered_atoms &a, int capacity) {
    list_on_device d(a, capacity);
    edge_list_build(0, d.candidates, d.buffers, d.report);
    MUST(cudaGetLastError());
    MUST(cudaDeviceSynchronize());
    return {d.count.read(), d.first.read(),  d.out_first.read(), d.out.read(),
            d.place.read(), d.vector.read(), d.record.read(),    d.report.read()[0]};
}

/* Twice, with the same bits. */
static built_list build(const scattered_atoms &a, int capacity) {
    built_list list = build_once(a, capacity), again = build_once(a, capacity);
    CHECK(list == again);
    return list;
}

static bool starts_with(const ints &got, const ints &want) {
    return got.size() >= want.size() && std::equal(want.begin(), want.end(), got.begin());
}

/* The numbers of the edges that are there; behind them nothing is written. */
static doubles written(const floats &array, size_t edges, size_t width) {
    for (size_t i = edges * width; i < array.size(); i++) CHECK(std::isnan(array[i]));
    return doubles(array.begin(), array.begin() + (ptrdiff_t)(edges * width));
}

static void check_geometry(const built_list &got, const umas_edges &want) {
    const size_t n = (size_t)want.count;
    floats vector = edge_vectors(want);
    check_close("edge vectors", written(got.vector, n, 4).data(), widen(vector).data(),
                (long)(4 * n), TOLERANCE_STAGE * CUTOFF, 0);

    umas_architecture a = {};
    a.cutoff = CUTOFF;
    a.distance_functions = 1;
    doubles wigner(n * RECORD_ENVELOPE), envelope(n), envelope_slope(n), basis(n), basis_slope(n);
    edge_chunk chunk = {};
    chunk.edges = (int)n;
    chunk.wigner = wigner.data();
    chunk.envelope = envelope.data(), chunk.envelope_slope = envelope_slope.data();
    chunk.basis = basis.data(), chunk.basis_slope = basis_slope.data();
    edge_geometry_forward(&a, want.vector, &chunk);
    floats record = edge_records(want, wigner, envelope, envelope_slope);
    check_close("edge records", written(got.record, n, EDGE_RECORD).data(), widen(record).data(),
                (long)(n * EDGE_RECORD), TOLERANCE_STAGE, 0);
}

static void check_places(const std::vector<radial_place> &got,
                         const std::vector<radial_place> &want, size_t edges) {
    doubles steps, wanted;
    for (size_t e = 0; e < edges; e++) {
        CHECK(got[e].knot >= 0 && got[e].beyond >= 0 && got[e].beyond <= 1);
        steps.push_back((double)got[e].knot + got[e].beyond);
        wanted.push_back((double)want[e].knot + want[e].beyond);
    }
    for (size_t e = edges; e < got.size(); e++) CHECK(got[e].knot == -77);
    check_close("places in radial tables", steps.data(), wanted.data(), (long)edges, 1e-6, 0);
}

static void test_build(const atom_counts &counts, int spare) {
    scattered_atoms a(counts);
    host_edges host(a);
    const umas_edges &want = host.edges;
    const size_t n = (size_t)want.count;
    built_list got = build(a, (int)n + spare);
    CHECK(got.report.edges == (int)n);
    CHECK(got.report.overlap[0] == -1 && got.report.overlap[1] == -1);
    CHECK(got.count[0] == (int)n);
    CHECK(got.first == first_of_nodes(want, a.atoms));
    CHECK(got.out_first == narrow(want.out_first, (size_t)a.atoms.nodes + 1));
    CHECK(starts_with(got.out, narrow(want.out, n)));
    check_places(got.place, places_of(want, a), n);
    check_geometry(got, want);
}

/* Without room for them all there are no edges, but their number is known. */
static void test_overflow(const atom_counts &counts, int missing) {
    scattered_atoms a(counts);
    host_edges host(a);
    const size_t rows = (size_t)a.atoms.nodes + 1;
    CHECK(host.edges.count >= missing);
    built_list got = build(a, (int)host.edges.count - missing);
    CHECK(got.report.edges == (int)host.edges.count);
    CHECK(got.report.overlap[0] == -1 && got.report.overlap[1] == -1);
    CHECK(got.count[0] == 0);
    CHECK(got.first == ints(rows, 0));
    CHECK(got.out_first == ints(rows, 0));
    (void)written(got.vector, 0, 4);
    (void)written(got.record, 0, EDGE_RECORD);
}

static void test_count(const atom_counts &counts) {
    scattered_atoms a(counts);
    host_edges host(a);
    list_on_device d(a, 0);
    edge_list_count(0, d.candidates, d.buffers, d.report);
    MUST(cudaDeviceSynchronize());
    CHECK(d.report.read()[0].edges == (int)host.edges.count);
}

/* Two atoms exactly a cutoff apart are no neighbours, and closer by one part in 10^12 they are. */
static void test_cutoff(void) {
    for (double distance : {CUTOFF, CUTOFF * (1 - 1e-12)}) {
        scattered_atoms a({2, 0, 0, 3});
        for (int i = 0; i < 6; i++) a.position[(size_t)i] = 0;
        a.at(1)[1] = distance;
        CHECK(build(a, 8).report.edges == (distance < CUTOFF ? 2 : 0));
    }
}

/* The lowest target on top of another atom is named, and the lowest atom it is on top of. */
static void test_overlap(void) {
    scattered_atoms a({40, 10, 10, 3});
    const int on_top[3][2] = {{30, 25}, {21, 55}, {21, 44}}; /* of owned, image and ghost */
    for (const int *pair : on_top) {
        for (int d = 0; d < 3; d++) a.at(pair[1])[d] = a.at(pair[0])[d] + 2e-4 * d;
        CHECK(a.element[(size_t)pair[0]] != 0 && a.element[(size_t)pair[1]] != 0);
        a.list_candidates();
        umas_edges edges = {};
        umas_error error = {};
        CHECK(umas_edges_build(&edges, &a.atoms, CUTOFF, &error) == UMAS_ERROR_GEOMETRY);
        umas_edges_free(&edges);
        step_report report = build(a, 10000).report;
        CHECK(report.overlap[0] == error.row[0] && report.overlap[1] == error.row[1]);
    }
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    /* nothing; ghosts alone; atoms without neighbours; one warp's worth of candidates and more */
    const atom_counts cases[] = {{0, 0, 0, 3},   {0, 5, 0, 3},    {1, 0, 0, 3},
                                 {9, 0, 0, 30},  {9, 5, 4, 3},    {40, 12, 10, 3},
                                 {33, 0, 20, 2}, {257, 40, 0, 4}, {650, 40, 30, 5}};
    for (const atom_counts &counts : cases) {
        test_build(counts, 0);
        test_build(counts, SPARE_EDGES);
        test_count(counts);
    }
    for (int missing : {1, 17, 100}) test_overflow({40, 12, 10, 3}, missing);
    test_cutoff();
    test_overlap();
    return check_report();
}
