/* The tables of radial functions, docs/model.md (12), of the elements at hand: of the edge-degree
 * embedding, (14), and of the layers, (16), either the radial functions themselves (16 bits) or the
 * hidden layers of their MLPs. */
#ifndef UMAS_RADIAL_TABLES_CUH
#define UMAS_RADIAL_TABLES_CUH

#include <vector>

#include "device_buffer.cuh"
#include "edge_stages/edge_stages.cuh"

struct radial_tables {
    std::vector<int> present; /* atomic numbers the tables are made for */
    device_buffer<int> present_elements, element_slot;
    bool tabulated = false; /* the layers' radial functions; else their MLPs' hidden layers */
    device_buffer<float> degree_values, hidden_values;
    device_buffer<__half> radial_values;
    double cutoff = 0; /* A */
    int rows = 9;      /* of a message */

    float knots_per_length() const { return float((RADIAL_KNOTS - 1) / cutoff); }
    size_t knots() const { return present.size() * present.size() * RADIAL_KNOTS; }
    size_t degree_numbers() const { return knots() * RADIAL_ROWS * 3 * CHANNELS; }
    /* of a layer */
    size_t hidden_numbers() const { return knots() * RADIAL_ROWS * CHANNELS; }
    size_t radial_numbers() const { return knots() * PARABOLA_ROWS * size_t(radial_width(rows)); }

    float *hidden_of(int layer) const { return hidden_values + hidden_numbers() * size_t(layer); }
    __half *radial_of(int layer) const { return radial_values + radial_numbers() * size_t(layer); }
    radial_table degree_table() const { return {degree_values, knots_per_length()}; }
    radial_table hidden_table(int layer) const { return {hidden_of(layer), knots_per_length()}; }
    tabulated_radials layer_radials(int layer) const {
        return {radial_of(layer), 1 / knots_per_length()};
    }
    void release() {
        degree_values.release();
        hidden_values.release();
        radial_values.release();
    }
    size_t table_bytes() const { return bytes_of(degree_values, hidden_values, radial_values); }
    size_t bytes() const { return table_bytes() + bytes_of(present_elements, element_slot); }
};

#endif
