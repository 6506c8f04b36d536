/* The edge list on the GPU against core/graph/edges.c and core/graph/edge_geometry.c. */
#include <algorithm>

#include "edge_graph.cuh"
#include "stored.cuh"

extern "C" {
#include "graph/edge_geometry.h"
}

/* What integer outputs hold before: no count, row or edge. */
static ints int_poison(size_t n) { return ints(n, -77); }

/* Places for edges of either kind; on one rank there are no outer ones. */
struct edge_room {
    int inner, outer;
    bool one_rank;
    size_t all() const { return (size_t)inner + (size_t)outer; }
};

/* Where the host's edges, sorted by target alone, belong: inner ones first, outer ones behind
 * the room for these. */
struct edge_places {
    int edges[2] = {0, 0};
    ints of_edge;
    ints first[2]; /* [nodes + 1] by kind */

    edge_places(const umas_edges &host, const umas_atoms &atoms, int inner_room) {
        int next[2] = {0, inner_room};
        for (int n = 0; n <= atoms.nodes; n++) {
            for (int kind = 0; kind < 2; kind++) first[kind].push_back(next[kind]);
            if (n >= atoms.owned) continue;
            for (int64_t e = host.first[n]; e < host.first[n + 1]; e++)
                of_edge.push_back(next[host.source_node[e] >= atoms.owned]++);
        }
        edges[0] = next[0], edges[1] = next[1] - inner_room;
    }
    ints of(const ints &host_edges) const {
        ints places;
        for (int e : host_edges) places.push_back(of_edge[(size_t)e]);
        return places;
    }
};

/* Everything that edge_list_build reads and writes. */
struct list_on_device {
    device_array<double> position;
    device_array<int> element, node, neighbour, slot;
    device_array<long long> candidate_first;
    device_array<int> end, first, outer_first, out_first, out, unsorted, cursor;
    device_array<radial_index> table_index;
    device_array<float> vector, record;
    device_array<char> scan;
    device_array<double> reach;
    device_array<step_report> report;
    candidate_list candidates;
    edge_list_buffers buffers;

    list_on_device(const scattered_atoms &a, edge_room room)
        : list_on_device(a, room, (size_t)a.atoms.nodes + 1, room.all()) {}

  private:
    list_on_device(const scattered_atoms &a, edge_room room, size_t rows, size_t n)
        : position(a.position), element(a.element), node(a.node), neighbour(a.neighbour),
          slot(element_slots()),
          candidate_first(std::vector<long long>(a.first.begin(), a.first.end())),
          end(int_poison(2)), first(int_poison(rows)), outer_first(int_poison(rows)),
          out_first(int_poison(rows)), out(int_poison(n)), unsorted(int_poison(n)),
          cursor(int_poison(rows)), table_index(std::vector<radial_index>(n, {-77, -77})),
          vector(poison<float>(4 * n)), record(poison<float>(EDGE_RECORD * n)),
          scan(std::vector<char>(edge_list_scan_bytes(a.atoms.nodes))),
          reach(poison<double>((size_t)a.atoms.owned + 1)), report(std::vector<step_report>(1)) {
        candidates = {a.atoms.owned, a.atoms.nodes,   position,       element,
                      node,          candidate_first, neighbour,      slot,
                      PRESENT,       CUTOFF,          a.max_neighbors};
        buffers = {room.inner,
                   room.outer,
                   end,
                   first,
                   room.one_rank ? nullptr : (int *)outer_first,
                   reach,
                   out_first,
                   out,
                   table_index,
                   unsorted,
                   cursor,
                   reinterpret_cast<float4 *>((float *)vector),
                   record,
                   scan,
                   edge_list_scan_bytes(a.atoms.nodes)};
    }
};

/* The list read back, and the report. */
struct built_list {
    ints end, first, outer_first, out_first, out;
    std::vector<radial_index> table_index;
    floats vector, record;
    step_report report;

    bool operator==(const built_list &o) const {
        return end == o.end && first == o.first && outer_first == o.outer_first &&
               out_first == o.out_first && out == o.out &&
               memcmp(table_index.data(), o.table_index.data(),
                      table_index.size() * sizeof table_index[0]) == 0 &&
               memcmp(vector.data(), o.vector.data(), vector.size() * sizeof(float)) == 0 &&
               memcmp(record.data(), o.record.data(), record.size() * sizeof(float)) == 0 &&
               report.edges[0] == o.report.edges[0] && report.edges[1] == o.report.edges[1] &&
               report.crowded == o.report.crowded && report.overlap[0] == o.report.overlap[0] &&
               report.overlap[1] == o.report.overlap[1];
    }
};

static built_list build_once(const scattered_atoms &a, edge_room room) {
    list_on_device d(a, room);
    edge_list_build(0, d.candidates, d.buffers, d.report);
    MUST(cudaGetLastError());
    MUST(cudaDeviceSynchronize());
    return {d.end.read(),       d.first.read(),  d.outer_first.read(),
            d.out_first.read(), d.out.read(),    d.table_index.read(),
            d.vector.read(),    d.record.read(), d.report.read()[0]};
}

/* Twice, with the same bits. */
static built_list build(const scattered_atoms &a, edge_room room) {
    built_list list = build_once(a, room), again = build_once(a, room);
    CHECK(list == again);
    return list;
}

static bool starts_with(const ints &got, const ints &want) {
    return got.size() >= want.size() && std::equal(want.begin(), want.end(), got.begin());
}

/* The numbers of the edges, in the host's order; at other places nothing is written. */
static doubles written(const floats &array, const ints &places, size_t width) {
    doubles numbers;
    floats rest = array;
    for (int place : places)
        for (size_t i = 0; i < width; i++) {
            numbers.push_back(array[(size_t)place * width + i]);
            rest[(size_t)place * width + i] = NAN;
        }
    CHECK(std::all_of(rest.begin(), rest.end(), [](float v) { return std::isnan(v); }));
    return numbers;
}

static void check_geometry(const built_list &got, const umas_edges &want, const ints &places) {
    const size_t n = (size_t)want.count;
    floats vector = edge_vectors(want);
    check_close("edge vectors", written(got.vector, places, 4).data(), widen(vector).data(),
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
    check_close("edge records", written(got.record, places, EDGE_RECORD).data(),
                widen(record).data(), (long)(n * EDGE_RECORD), TOLERANCE_STAGE, 0);
}

static void check_table_indices(const std::vector<radial_index> &got,
                                const std::vector<radial_index> &want, const ints &places) {
    doubles steps, wanted;
    std::vector<radial_index> rest = got;
    for (size_t e = 0; e < places.size(); e++) {
        const radial_index &here = got[(size_t)places[e]];
        CHECK(here.knot >= 0 && here.fraction >= 0 && here.fraction <= 1);
        steps.push_back((double)here.knot + here.fraction);
        wanted.push_back((double)want[e].knot + want[e].fraction);
        rest[(size_t)places[e]].knot = -77;
    }
    for (const radial_index &index : rest) CHECK(index.knot == -77);
    check_close("indices into radial tables", steps.data(), wanted.data(), (long)places.size(),
                1e-6, 0);
}

static void test_build(const atom_counts &counts, int spare, int max_neighbors = 0) {
    scattered_atoms a(counts);
    a.max_neighbors = max_neighbors;
    host_edges host(a);
    const umas_edges &want = host.edges;
    const size_t n = (size_t)want.count;
    edge_room room = {edge_places(want, a.atoms, 0).edges[0] + spare, 0, counts.others == 0};
    const edge_places places(want, a.atoms, room.inner);
    if (!room.one_rank) room.outer = places.edges[1] + spare;
    CHECK(counts.others < 10 || places.edges[1] > 0);
    built_list got = build(a, room);
    CHECK(got.report.crowded == want.crowded && (max_neighbors == 0 || want.crowded > 0));
    for (int kind = 0; kind < 2; kind++) CHECK(got.report.edges[kind] == places.edges[kind]);
    CHECK(got.report.overlap[0] == -1 && got.report.overlap[1] == -1);
    CHECK(got.end[0] == places.edges[0] && got.end[1] == room.inner + places.edges[1]);
    CHECK(got.first == places.first[0]);
    CHECK(room.one_rank || got.outer_first == places.first[1]);
    CHECK(got.out_first == narrow(want.out_first, (size_t)a.atoms.nodes + 1));
    CHECK(starts_with(got.out, places.of(narrow(want.out, n))));
    check_table_indices(got.table_index, table_indices(want, a), places.of_edge);
    check_geometry(got, want, places.of_edge);
}

/* Without room for all of a kind there are no edges, but their numbers are known. */
static void test_overflow(const atom_counts &counts, int inner_missing, int outer_missing) {
    scattered_atoms a(counts);
    host_edges host(a);
    const edge_places places(host.edges, a.atoms, 0);
    const size_t rows = (size_t)a.atoms.nodes + 1;
    const edge_room room = {places.edges[0] - inner_missing, places.edges[1] - outer_missing,
                            false};
    CHECK(room.inner >= 0 && room.outer >= 0);
    built_list got = build(a, room);
    for (int kind = 0; kind < 2; kind++) CHECK(got.report.edges[kind] == places.edges[kind]);
    CHECK(got.report.overlap[0] == -1 && got.report.overlap[1] == -1);
    CHECK(got.end[0] == 0 && got.end[1] == room.inner);
    CHECK(got.first == ints(rows, 0));
    CHECK(got.outer_first == ints(rows, room.inner));
    CHECK(got.out_first == ints(rows, 0));
    (void)written(got.vector, {}, 4);
    (void)written(got.record, {}, EDGE_RECORD);
}

static void test_count(const atom_counts &counts) {
    scattered_atoms a(counts);
    host_edges host(a);
    const edge_places places(host.edges, a.atoms, 0);
    list_on_device d(a, {0, 0, counts.others == 0});
    edge_list_count(0, d.candidates, d.buffers, d.report);
    MUST(cudaDeviceSynchronize());
    const step_report report = d.report.read()[0];
    for (int kind = 0; kind < 2; kind++) CHECK(report.edges[kind] == places.edges[kind]);
}

/* Two atoms exactly a cutoff apart are no neighbours, and closer by one part in 10^12 they are. */
static void test_cutoff(void) {
    for (double distance : {CUTOFF, CUTOFF * (1 - 1e-12)}) {
        scattered_atoms a({2, 0, 0, 3});
        for (int i = 0; i < 6; i++) a.position[(size_t)i] = 0;
        a.at(1)[1] = distance;
        CHECK(build(a, {8, 0, true}).report.edges[0] == (distance < CUTOFF ? 2 : 0));
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
        CHECK(umas_edges_build(&edges, &a.atoms, CUTOFF, 0, &error) == UMAS_ERROR_GEOMETRY);
        umas_edges_free(&edges);
        step_report report = build(a, {10000, 10000, false}).report;
        CHECK(report.overlap[0] == error.row[0] && report.overlap[1] == error.row[1]);
    }
}

/* A chunk concerns the nodes that have edges in it, each with these edges and no others, and its
 * targets follow each other. */
static void test_chunk_nodes(const atom_counts &counts, int chunks) {
    scattered_atoms a(counts);
    host_edges host(a);
    const device_edges d(a, host.edges, poison<float>(0));
    const ints first = d.first.read(), out_first = d.out_first.read(), out = d.out.read();
    in_chunks((size_t)d.capacity, chunks, [&](edge_span s) {
        edge_list list = d.list();
        list.visit = d.visit;
        list.extent = d.extent;
        chunk_nodes_find(0, list, s);
        MUST(cudaDeviceSynchronize());
        std::vector<ints> got, want;
        const chunk_extent extent = d.extent.read()[0];
        const std::vector<node_visit> visits = d.visit.read();
        for (int i = 0; i < extent.visits; i++) {
            const node_visit &v = visits[(size_t)i];
            ints edges = {v.node};
            for (int e = v.in_begin; e < v.in_end; e++) edges.push_back(e);
            edges.push_back(-1);
            edges.insert(edges.end(), out.begin() + v.out_begin, out.begin() + v.out_end);
            got.push_back(edges);
        }
        ints targets;
        for (int n = 0; n < a.atoms.nodes; n++) {
            auto inside = [&](int e) { return e >= s.begin && e < s.begin + s.size; };
            ints edges = {n};
            for (int e = first[(size_t)n]; e < first[(size_t)n + 1]; e++)
                if (inside(e)) edges.push_back(e);
            if (edges.size() > 1) targets.push_back(n);
            edges.push_back(-1);
            for (int k = out_first[(size_t)n]; k < out_first[(size_t)n + 1]; k++)
                if (inside(out[(size_t)k])) edges.push_back(out[(size_t)k]);
            if (edges.size() > 2) want.push_back(edges);
        }
        std::sort(got.begin(), got.end());
        CHECK(got == want);
        CHECK(targets.empty() ? extent.first_target == extent.end_target
                              : extent.first_target == targets.front() &&
                                    extent.end_target == targets.back() + 1);
    });
}

int main(void) {
    if (!gpu_is_there()) return CHECK_SKIPPED;
    /* nothing; ghosts alone; atoms without neighbours; one warp's worth of candidates and more */
    const atom_counts cases[] = {{0, 0, 0, 3},
                                 {0, 5, 0, 3},
                                 {1, 0, 0, 3},
                                 {9, 0, 0, 30},
                                 {9, 5, 4, 3},
                                 {40, 12, 10, 3},
                                 {33, 0, 20, 2},
                                 {257, 40, 0, 4},
                                 {650, 40, 30, 5},
                                 /* nodes around the limit of one block, and beyond it */
                                 {4090, 3, 0, 4},
                                 {4090, 5, 0, 4},
                                 {4090, 6, 0, 4},
                                 {5000, 200, 30, 4}};
    for (const atom_counts &counts : cases) {
        test_build(counts, 0);
        test_build(counts, SPARE_EDGES);
        test_count(counts);
        for (int chunks : {1, 3, 40}) test_chunk_nodes(counts, chunks);
    }
    for (int most : {1, 7, 20})
        for (const atom_counts &counts : {atom_counts{257, 40, 0, 2.5}, {650, 40, 30, 2.5}})
            test_build(counts, SPARE_EDGES, most);
    for (int missing : {1, 17, 100}) {
        test_overflow({40, 40, 10, 3}, missing, 0);
        test_overflow({40, 40, 10, 3}, 0, missing);
        test_overflow({40, 40, 10, 3}, missing, missing);
    }
    test_overflow({4200, 40, 10, 4}, 17, 17);
    test_cutoff();
    test_overlap();
    return check_report();
}
