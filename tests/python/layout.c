/* Where the compiler puts the members of the structures in umas.h. */
#include <stddef.h>
#include <stdio.h>
#include <umas.h>

#define SIZE(type) printf(#type " %zu\n", sizeof(type))
#define MEMBER(type, member) \
    printf(#type "." #member " %zu %zu\n", offsetof(type, member), sizeof(((type *)0)->member))
#define POINTER(type, member) \
    printf(#type "." #member " %zu %zu\n", offsetof(type, member), sizeof(void *))

static void print_model_structures(void) {
    SIZE(umas_error);
    MEMBER(umas_error, status);
    MEMBER(umas_error, message);
    MEMBER(umas_error, row);
    SIZE(umas_architecture);
    MEMBER(umas_architecture, sphere_channels);
    MEMBER(umas_architecture, hidden_channels);
    MEMBER(umas_architecture, edge_channels);
    MEMBER(umas_architecture, layers);
    MEMBER(umas_architecture, lmax);
    MEMBER(umas_architecture, mmax);
    MEMBER(umas_architecture, distance_functions);
    MEMBER(umas_architecture, elements);
    MEMBER(umas_architecture, experts);
    MEMBER(umas_architecture, routing_channels);
    MEMBER(umas_architecture, embeddings);
    MEMBER(umas_architecture, heads);
    MEMBER(umas_architecture, cutoff);
    MEMBER(umas_architecture, max_neighbors);
    MEMBER(umas_architecture, composition_counts_zero_row);
    MEMBER(umas_architecture, charge_channel);
    MEMBER(umas_architecture, spin_channel);
    SIZE(umas_task);
    MEMBER(umas_task, name);
    MEMBER(umas_task, embedding);
    MEMBER(umas_task, head);
    MEMBER(umas_task, rmsd);
    MEMBER(umas_task, reference);
    MEMBER(umas_task, spin);
}

static void print_engine_structures(void) {
    SIZE(umas_engine_options);
    MEMBER(umas_engine_options, backend);
    MEMBER(umas_engine_options, precision);
    POINTER(umas_engine_options, task);
    MEMBER(umas_engine_options, charge);
    MEMBER(umas_engine_options, spin);
    MEMBER(umas_engine_options, device);
    MEMBER(umas_engine_options, memory_fraction);
    POINTER(umas_engine_options, exchange);
    MEMBER(umas_engine_options, transport);
    SIZE(umas_atoms);
    MEMBER(umas_atoms, owned);
    MEMBER(umas_atoms, total);
    MEMBER(umas_atoms, nodes);
    POINTER(umas_atoms, element);
    POINTER(umas_atoms, position);
    POINTER(umas_atoms, node);
    POINTER(umas_atoms, rows);
    POINTER(umas_atoms, first);
    POINTER(umas_atoms, neighbour);
    MEMBER(umas_atoms, list_changed);
    SIZE(umas_result);
    MEMBER(umas_result, energy);
    MEMBER(umas_result, virial);
    MEMBER(umas_result, edges);
    MEMBER(umas_result, crowded);
    POINTER(umas_result, force);
    POINTER(umas_result, atom_energy);
    POINTER(umas_result, atom_virial);
}

int main(void) {
    printf("UMAS_ELEMENTS %d\n", UMAS_ELEMENTS);
    printf("UMAS_CUDA %d\n", (int)UMAS_CUDA);
    printf("UMAS_SINGLE %d\nUMAS_MIXED %d\n", (int)UMAS_SINGLE, (int)UMAS_MIXED);
    printf("UMAS_SPIN_OF_TASK %d\n", UMAS_SPIN_OF_TASK);
    print_model_structures();
    print_engine_structures();
    return 0;
}
