/* Tables of radial functions for the elements at hand: of what, and in what memory. */
#include "engine/fill_tables.cuh"

#include "engine/memory_plan.cuh"
#include "engine/run_step.cuh"
#include "weights/radial_table.cuh"

namespace {

/* Of the memory, what tabulated radial functions may take: more would be missed by atoms. */
constexpr size_t TABLES_SHARE = 16;

/* Tables of other elements go first: they may need more than these, or the room of these. */
template <typename S> umas_status reserve_tables(cuda_engine<S> &e, umas_error *error) {
    const size_t layers = size_t(e.a->layers), radials = layers * e.tables.radial_numbers();
    const size_t degrees = e.tables.degree_numbers();
    e.tables.release();
    settle_share(e);
    e.tables.tabulated = sizeof(S) == 2 && radials * sizeof(__half) <= e.memory / TABLES_SHARE;
    const size_t hidden = e.tables.tabulated ? 0 : layers * e.tables.hidden_numbers();
    const size_t bytes =
        (degrees + hidden) * sizeof(float) + (e.tables.tabulated ? radials * sizeof(__half) : 0);
    const size_t room = e.room();
    if (bytes <= room && e.tables.present_elements.reserve(UMAS_ELEMENTS) &&
        e.tables.element_slot.reserve(UMAS_ELEMENTS) && e.tables.degree_values.reserve(degrees) &&
        (e.tables.tabulated ? e.tables.radial_values.reserve(radials)
                            : e.tables.hidden_values.reserve(hidden)))
        return UMAS_OK;
    if (bytes <= room)
        return umas_fail(error, UMAS_ERROR_MEMORY,
                         "no GPU memory for tables of radial functions of %d elements, %.3g GiB: "
                         "use a smaller memory fraction",
                         int(e.tables.present.size()), gib(bytes));
    return umas_fail(error, UMAS_ERROR_MEMORY,
                     "tables of radial functions of %d elements need %.3g GiB of GPU memory and "
                     "may take %.3g: use fewer elements or a larger memory fraction",
                     int(e.tables.present.size()), gib(bytes), gib(room));
}

} // namespace

template <typename S> umas_status fill_tables(cuda_engine<S> &e, umas_error *error) {
    const int present = int(e.tables.present.size());
    int slot[UMAS_ELEMENTS] = {};
    for (size_t i = 0; i < e.tables.present.size(); i++) slot[size_t(e.tables.present[i])] = int(i);
    release_edges(e); /* what a plan needs depends on the tables */
    e.plan.owned = -1;
    const umas_status status = reserve_tables(e, error);
    if (status != UMAS_OK) return status;
    cudaMemcpyAsync(e.tables.present_elements, e.tables.present.data(),
                    e.tables.present.size() * sizeof(int), cudaMemcpyHostToDevice, e.stream);
    cudaMemcpyAsync(e.tables.element_slot, slot, sizeof slot, cudaMemcpyHostToDevice, e.stream);
    radial_table_fill(e.stream, e.weights.edge_degree, e.tables.present_elements, present, true,
                      e.tables.degree_values);
    for (int i = 0; i < e.a->layers; i++) {
        const radial_mlp &mlp = e.weights.block[size_t(i)].radial;
        if (e.tables.tabulated)
            radial_parabolas_fill(e.stream, mlp, e.tables.present_elements, present,
                                  e.tables.radial_of(i));
        else
            radial_table_fill(e.stream, mlp, e.tables.present_elements, present, false,
                              e.tables.hidden_of(i));
    }
    return wait_for(e, error);
}

template umas_status fill_tables<__half>(cuda_engine<__half> &, umas_error *);
template umas_status fill_tables<float>(cuda_engine<float> &, umas_error *);
