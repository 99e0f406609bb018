// Prints a digest of what each kernel makes of the same inputs: random numbers, and every special one beside every other.
// Builds that agree on all lines compute the same bits.
//
// use: digests [baseline|v3|v4]       another instruction set than the processor's best
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

#pragma STDC FP_CONTRACT OFF

enum { ROWS = 5, COUNT = 2003, STRIDE = 2048 };

static double x[ROWS * STRIDE];
static double target[ROWS * STRIDE], lanes[64 * CK_LANES];
static uint8_t stored[ROWS][8 * STRIDE + 1], rounded[8 * STRIDE + 1];
static uint64_t keys[STRIDE + 1], places[STRIDE + 1], room[2 * STRIDE];
static uint32_t bins[65536];
static const char *inputs;

// MARK: Inputs

static uint64_t state;
static uint64_t next(void) { return (uint64_t)(ck_random(state++, 7) * 0x1p53); }
static double uniform(void) { return (double)next() * 0x1p-53; }
static double normal(void) {
  double sum = -6;
  for (int i = 0; i < 12; i++) sum += uniform();
  return sum;
}

// The last three are not finite.
static const double special[] = {0.0, -0.0, 1, -1, 0x1p-1074, -0x1p-1074, 0x1p-1022, 0x1.fffffffffffffp-1023, 0x1p-149,
                                 -0x1p-149, 0x1p-24, 0x1p-25, 65504, 65520, -65536, 0x1.fffffep127, 0x1.ffffffp127, 0x1p-133,
                                 1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-24, 1 + 0x3p-24, 448, 464, 57344, 61440, 1e30, -1e30,
                                 NAN, INFINITY, -INFINITY};
enum { SPECIAL = sizeof special / sizeof *special, FINITE = SPECIAL - 3 };

static double size_of_any(void) { return ldexp(normal(), (int)(next() % 60) - 40); }

static void random_inputs(void) {
  state = 1;
  for (size_t i = 0; i < STRIDE; i++)
    for (size_t j = 0; j < ROWS; j++)
      x[j * STRIDE + i] = j == 0 ? size_of_any() : next() % 5 ? x[i] + 0.01 * size_of_any() : x[i];
}

static void special_inputs(size_t specials) {
  state = 2;
  for (size_t i = 0; i < STRIDE; i++)
    for (size_t j = 0; j < ROWS; j++)
      x[j * STRIDE + i] = j == 0   ? special[i % specials]
                          : j == 1 ? special[i / specials % specials]
                                   : special[next() % specials];
}

// MARK: Digests

static uint64_t digest;
static void add(const void *bytes, size_t n) {
  for (size_t i = 0; i < n; i++) digest = (digest ^ ((const uint8_t *)bytes)[i]) * 0x100000001B3u;
}

// Which NaN arithmetic makes is up to the processor.
static void add_values(const double *v, size_t n) {
  for (size_t i = 0; i < n; i++) {
    uint64_t bits = 0x7FF8000000000000u;
    if (!isnan(v[i])) memcpy(&bits, v + i, 8);
    add(&bits, 8);
  }
}

static void report(const char *name) {
  printf("%-8s %-32s %016llx\n", inputs, name, (unsigned long long)digest);
  digest = 0xCBF29CE484222325u;
  memset(lanes, 0, sizeof lanes);
  memset(target, 0, sizeof target);
}

static void report_target(const char *name, size_t rows) {
  for (size_t j = 0; j < rows; j++) add_values(target + j * COUNT, COUNT);
  report(name);
}

static void report_lanes(const char *name, size_t sums) {
  add_values(lanes, sums * CK_LANES);
  report(name);
}

// MARK: Kernels

static const struct {
  const char *name;
  ck_type type;
  size_t width;
} types[] = {{"F64", CK_F64, 8},         {"F32", CK_F32, 4},         {"F16", CK_F16, 2},
             {"BF16", CK_BF16, 2},       {"F8_E4M3", CK_F8_E4M3, 1}, {"F8_E5M2", CK_F8_E5M2, 1},
             {"F8_E4M3FNUZ", CK_F8_E4M3FNUZ, 1}, {"F8_E5M2FNUZ", CK_F8_E5M2FNUZ, 1}};
enum { TYPES = sizeof types / sizeof *types };

static void conversions(void) {
  for (size_t t = 0; t < TYPES; t++) {
    char name[64];
    ck_narrow(types[t].type, x + STRIDE, rounded + 1, COUNT);
    add(rounded + 1, types[t].width * COUNT);
    snprintf(name, sizeof name, "narrow to %s", types[t].name);
    report(name);
    const int found = ck_widen(types[t].type, rounded + 1, target, COUNT);
    add(&found, sizeof found);
    snprintf(name, sizeof name, "widen %s", types[t].name);
    report_target(name, 1);
    uint64_t counts[5] = {0};
    ck_narrow(types[t].type, x, stored[0] + 1, COUNT);
    ck_count_rounding(types[t].type, x + STRIDE, rounded + 1, x, stored[0] + 1, COUNT, counts);
    add(counts, sizeof counts);
    snprintf(name, sizeof name, "rounding to %s", types[t].name);
    report(name);
  }
}

// Every pattern of 8 and 16 bits, widened and rounded back.
static void all_patterns(void) {
  static uint16_t patterns[65536];
  static uint8_t bytes[65536];
  static double values[65536];
  for (size_t i = 0; i < 65536; i++) patterns[i] = (uint16_t)i, bytes[i] = (uint8_t)i;
  for (size_t t = 0; t < TYPES; t++) {
    if (types[t].width > 2) continue;
    ck_widen(types[t].type, types[t].width == 2 ? (const void *)patterns : bytes, values, 65536);
    add_values(values, 65536);
    ck_narrow(types[t].type, values, patterns, 65536);
    add(patterns, types[t].width * 65536);
    for (size_t i = 0; i < 65536; i++) patterns[i] = (uint16_t)i;
    report(types[t].name);
  }
}

static void combinations(const double *w, const double *ones) {
  ck_mean(x, STRIDE, ones, ROWS, ROWS, 1, target, COUNT);
  report_target("mean", 1);
  ck_mean(x, STRIDE, w, ROWS, 3, 0, target, COUNT);
  report_target("weighted mean", 1);
  ck_fma_mean(x, STRIDE, w, ROWS, 1.1, target, COUNT);
  report_target("mean as mergekit", 1);
  ck_deltas(x, STRIDE, w, ROWS, 1, 1, target, COUNT);
  report_target("deltas, mean", 1);
  ck_deltas(x, STRIDE, w, ROWS, 0.7, 0, target, COUNT);
  report_target("deltas, scaled", 1);
  ck_delta_sums(CK_ALL_SUMS, x, STRIDE, ROWS, lanes, COUNT);
  report_lanes("delta sums", 2 * ROWS - 1);
  ck_weighted_norms(x, STRIDE, ROWS, w, lanes, COUNT);
  report_lanes("weighted norms", ROWS);
  static const double powers[] = {1, 2, 0.5, -1, 3, -2.5};
  for (size_t p = 0; p < sizeof powers / sizeof *powers; p++) {
    char name[64];
    double weights[ROWS * COUNT];
    ck_element_weights(x, STRIDE, ROWS, ones, w, powers[p], weights, COUNT);
    add_values(weights, (ROWS - 1) * COUNT);
    ck_element_combine(x, STRIDE, ROWS, weights, 1, lanes, target, COUNT);
    add_values(lanes, (ROWS - 1) * CK_LANES);
    memset(lanes, 0, sizeof lanes);
    ck_element_norms(x, STRIDE, ROWS, weights, lanes, COUNT);
    add_values(lanes, ROWS * CK_LANES);
    snprintf(name, sizeof name, "elements, power %g", powers[p]);
    report_target(name, 1);
  }
}

static void stored_elements(const double *w, const double *ones) {
  for (size_t t = 0; t < 4; t++) {
    ck_source sources[ROWS];
    for (size_t j = 0; j < ROWS; j++) {
      ck_narrow(types[t].type, x + j * STRIDE, stored[j] + 1, COUNT);
      sources[j] = (ck_source){stored[j] + 1, types[t].type};
    }
    for (int kind = CK_MEAN; kind <= CK_ELEMENTS; kind++)
      for (size_t o = 0; o < TYPES; o++) {
        const ck_combination way = {(ck_kind)kind, kind == CK_DELTAS ? w : ones, ones, kind == CK_MEAN ? ROWS : 1, 1,
                                    kind == CK_MEAN, 1};
        uint64_t counts[5] = {0};
        const int found = ck_combine(&way, sources, ROWS, 0, lanes, types[o].type, rounded + 1, COUNT, counts);
        add(rounded + 1, types[o].width * COUNT);
        add_values(lanes, (ROWS - 1) * CK_LANES);
        add(&found, sizeof found);
        add(counts, sizeof counts);
        memset(lanes, 0, sizeof lanes);
      }
    ck_stored_delta_sums(CK_ALL_SUMS, sources, ROWS, 0, lanes, COUNT);
    add_values(lanes, (2 * ROWS - 1) * CK_LANES);
    char name[64];
    snprintf(name, sizeof name, "stored %s", types[t].name);
    report(name);
    if (types[t].width == 8) continue;
    ck_encode_differences(stored[1] + 1, stored[0] + 1, rounded + 1, types[t].width, COUNT);
    add(rounded + 1, types[t].width * COUNT);
    ck_decode_differences(rounded + 1, stored[0] + 1, types[t].width, COUNT);
    add(rounded + 1, types[t].width * COUNT);
    ck_shuffle(stored[2] + 1, rounded + 1, types[t].width, 0, types[t].width, COUNT, COUNT);
    add(rounded + 1, types[t].width * COUNT);
    snprintf(name, sizeof name, "bytes of %s", types[t].name);
    report(name);
  }
}

static void selections(const double *w, const double *ones) {
  ck_interval(x + STRIDE, x, 0.001, 10, target, COUNT);
  report_target("deltas by size", 1);
  memcpy(target, x, 8 * COUNT);
  ck_keep(target, 5, 1000, 0.3, COUNT);
  report_target("keep at random", 1);
  memcpy(target, x, 8 * COUNT);
  ck_keep_each(target, 5, 1000, x + STRIDE, COUNT);
  report_target("keep at random, each", 1);
  memcpy(target, x, 8 * COUNT);
  ck_keep_above(target, x + STRIDE, 0.25, COUNT);
  report_target("keep above", 1);
  ck_sizes(x + STRIDE, x, target, COUNT);
  report_target("sizes", 1);
  ck_variances(x, STRIDE, ROWS - 1, target, COUNT);
  report_target("variances", 1);
  ck_magnitudes(x, lanes, COUNT);
  report_lanes("magnitudes", 2);
  for (int elects = 0; elects < 2; elects++)
    for (int normalize = 0; normalize < 2; normalize++) {
      ck_vote(x, x + STRIDE, STRIDE, ones, w, ROWS - 1, elects, -1, normalize, 0.9, target, COUNT);
      add_values(target, COUNT);
    }
  report("consensus");
  ck_ranks(x, COUNT, room, target);
  report_target("ranks", 1);
  memset(bins, 0, sizeof bins);
  size_t zeros = ck_histogram(x, COUNT, 48, 16, 0, bins);
  ck_histogram(x, COUNT, 32, 16, ck_ordered_bits(1) >> 48, bins);
  ck_place_histogram(x, COUNT, ck_ordered_bits(1), 3, 0, 0, bins);
  zeros += ck_window_histogram(x, COUNT, bins);
  add(&zeros, sizeof zeros);
  add(bins, sizeof bins);
  report("histograms");
  uint64_t counts[2] = {0, 0};
  const size_t found = ck_collect(x, COUNT, ck_ordered_bits(-0.5), ck_ordered_bits(1), 3, keys, places, counts);
  add(keys, 8 * found);
  add(places, 8 * found);
  add(counts, sizeof counts);
  report("collect");
  ck_products(x + STRIDE, STRIDE, ROWS - 1, x, lanes, COUNT);
  report_lanes("products", ROWS * (ROWS - 1) / 2);
  ck_compare(x, STRIDE, ROWS, lanes, COUNT);
  report_lanes("comparison", 3 * ROWS);
  ck_add_product(w, x, ROWS, STRIDE, 0.5, target, 1, COUNT);
  report_target("low-rank product", 1);
}

// Of numbers of moderate size.
static void logarithms(void) {
  for (size_t i = 0; i < COUNT; i++) x[i] = normal(), x[STRIDE + i] = uniform() + 0x1p-40;
  ck_exponentials(x, 1, 0.5, 1e-8, target, COUNT);
  ck_divergence(target, x + STRIDE, target + COUNT, COUNT);
  report_target("exponentials and logarithms", 2);
}

int main(int argc, char **argv) {
  if (argc > 1) ck_use_level(!strcmp(argv[1], "baseline") ? CK_BASELINE : !strcmp(argv[1], "v3") ? CK_X86_64_V3 : CK_X86_64_V4);
  const double w[ROWS] = {0.7, 0, 1, 2.5, 0.3}, ones[ROWS] = {1, 1, 1, 1, 1};
  digest = 0xCBF29CE484222325u;
  inputs = "all";
  all_patterns();
  for (int kind = 0; kind < 3; kind++) {
    inputs = kind == 0 ? "random" : kind == 1 ? "finite" : "special";
    if (kind == 0) random_inputs();
    if (kind == 1) special_inputs(FINITE);
    if (kind == 2) special_inputs(SPECIAL);
    conversions();
    combinations(w, ones);
    stored_elements(w, ones);
    selections(w, ones);
  }
  inputs = "random";
  logarithms();
  return 0;
}
