// The hot loops of embedfuse. Every function is pure, allocates nothing and keeps no state but the chosen
// instruction set; its result is the same bits on every instruction set: no contraction into fused
// multiply-adds, sums in fixed lanes, divisions and square roots as IEEE 754 defines them.
//
// Inputs x are `count` rows of binary64 values: x[j] = x + j * stride. Where there is a base it is x[0], and
// d_k = x[k] - x[0]. Element i of a call belongs to lane i mod CK_LANES of every sum.
#ifndef EMBEDFUSE_CKERNELS_H
#define EMBEDFUSE_CKERNELS_H
#include <stddef.h>
#include <stdint.h>

/// Element types that can be computed with.
typedef enum {
  CK_F64, CK_F32, CK_F16, CK_BF16, CK_F8_E4M3, CK_F8_E5M2, CK_F8_E4M3FNUZ, CK_F8_E5M2FNUZ
} ck_type;

/// Instruction sets that the loops are compiled for. Elsewhere than on x86-64 there is only the baseline.
typedef enum { CK_BASELINE = 0, CK_X86_64_V3 = 1, CK_X86_64_V4 = 2 } ck_level;

enum { CK_LANES = 8 };

/// The best level that this processor has.
ck_level ck_best_level(void);
/// The level in use: the best one, unless ck_use_level chose another.
ck_level ck_current_level(void);
/// Uses another level, if the processor has it. Results stay the same; only tests and comparisons need it.
void ck_use_level(ck_level level);

/// Widens n elements of `type` at `source` (any alignment, little-endian) to binary64, exactly. Returns 1 if
/// any of them is NaN or infinite, else 0.
int ck_widen(ck_type type, const void *source, double *target, size_t n);

/// Rounds n binary64 values once, to nearest and ties to even, to `type` at `target` (any alignment). Overflow
/// gives infinity, or NaN where the type has no infinity. Every NaN becomes the type's quiet one without sign and payload.
void ck_narrow(ck_type type, const double *source, void *target, size_t n);

/// Counts what rounding `exact` to `rounded` did, n elements of `type`: in counts[0] the elements that differ from
/// base's, in counts[1] those of them whose rounded value is rounded_base's, in counts[2] finite values that became
/// infinite or NaN, in counts[3] values that became 0 and weren't, and in counts[4] values that were infinite
/// or NaN before they were rounded. Without a base, NULL, the first two stay as they are; for CK_F64 all but the last do.
void ck_count_rounding(ck_type type, const double *exact, const void *rounded, const double *base,
                       const void *rounded_base, size_t n, uint64_t *counts);

/// target[i] = (sum over j of c[j] * x[j][i]) / divisor, terms in ascending j, those with c[j] == 0 left out. If
/// `whole` says that the coefficients sum to the divisor, inputs that are equal give themselves exactly.
void ck_mean(const double *x, size_t stride, const double *c, size_t count, double divisor, int whole, double *target,
             size_t n);

/// target[i] = x[0][i] + scale * sum over k of w[k-1] * d_k[i], terms in ascending k, those with w[k-1] == 0 left
/// out; exactly x[0][i] where the sum is 0. If `whole` says that the weights sum to 1 and scale is 1, models that
/// are equal give themselves exactly.
void ck_deltas(const double *x, size_t stride, const double *w, size_t count, double scale, int whole, double *target,
               size_t n);

/// Which sums over deltas are taken: all, or those of the sizes |d_k| alone.
typedef enum { CK_ALL_SUMS, CK_SIZE_SUMS } ck_sums;

/// Adds, for each model k in 1..<count, |d_k| to sum 2(k-1) and d_k^2 to sum 2(k-1)+1, and x[0]^2 to sum
/// 2(count-1); those that aren't wanted stay as they are.
void ck_delta_sums(ck_sums sums, const double *x, size_t stride, size_t count, double *lanes, size_t n);

/// Adds, for constant weights w[k-1], (w_k d_k)^2 to sum k-1 and (sum_k w_k d_k)^2 to sum count-1.
void ck_weighted_norms(const double *x, size_t stride, size_t count, const double *w, double *lanes, size_t n);

/// Writes the weight of every model in every element, w[(k-1) * n + i]:
///
///   w_k = prior[k-1] * (scale[k-1] * |d_k|)^power / sum over all models of the same.
///
/// The powers are taken of ratios to the magnitude that dominates, so the weights are free of scale. Where no
/// model moved they are the shares of the priors; with power < 0 the models that did not move share the whole
/// weight in proportion to their priors.
void ck_element_weights(const double *x, size_t stride, size_t count, const double *scale, const double *prior,
                        double power, double *w, size_t n);

/// Adds up the weights of ck_element_weights, w_k in sum k-1, and writes target = x[0] + lambda * sum over k of
/// w_k * d_k: exactly x[0] where that sum is 0, and for lambda == 1 exactly the models' value where all that have
/// weight are equal.
void ck_element_combine(const double *x, size_t stride, size_t count, const double *w, double lambda,
                        double *lanes, double *target, size_t n);

/// Adds (w_k d_k)^2 to sum k-1 and (sum_k w_k d_k)^2 to sum count-1, for the weights of ck_element_weights.
void ck_element_norms(const double *x, size_t stride, size_t count, const double *w, double *lanes, size_t n);

/// target[i] = model[i] - base[i] where least <= |model[i] - base[i]| <= greatest, else 0.
void ck_interval(const double *model, const double *base, double least, double greatest, double *target, size_t n);

/// Sets v[i] to 0 unless ck_random(key, start + i) < p.
void ck_keep(double *v, uint64_t key, uint64_t start, double p, size_t n);

/// Sets v[i] to 0 unless ck_random(key, start + i) < p[i].
void ck_keep_each(double *v, uint64_t key, uint64_t start, const double *p, size_t n);

/// target[i] = base[i] + scale * m, for `count` rows of deltas s[k] = s + k * stride.
///
/// Where it elects, the sign of the sum of votes[k] * s[k][i] decides (`zero_sign` where that is 0; 0 elects nobody):
/// m is the sum of the w[k] * s[k][i] of those whose votes[k] * s[k][i] has that sign, divided, if it is to
/// normalize, by the sum of their w[k] where this isn't 0. Otherwise m is the sum of all w[k] * s[k][i], divided by
/// the sum of the weights. Exactly base[i] where m is 0.
void ck_vote(const double *base, const double *s, size_t stride, const double *votes, const double *w, size_t count,
             int elects, double zero_sign, int normalize, double scale, double *target, size_t n);

/// places[i] = the rank of |v[i]| among all n, 0 for the least and 1 for the greatest, 0.5 if there is one alone; of equal
/// ones the first has the highest. n < 2^32; `room` holds 2 * n.
void ck_ranks(const double *v, size_t n, uint64_t *room, double *places);

/// Sets v[i] to 0 unless keys[i] >= least.
void ck_keep_above(double *v, const double *keys, double least, size_t n);

/// target[i] = |model[i] - base[i]|.
void ck_sizes(const double *model, const double *base, double *target, size_t n);

/// target[i] = the population variance of d_1[i] ... d_count[i] of `count` models, x[0] being the base.
void ck_variances(const double *x, size_t stride, size_t count, double *target, size_t n);

/// Adds |v| to sum 0 and v^2 to sum 1.
void ck_magnitudes(const double *v, double *lanes, size_t n);

/// Bits that order as the numbers do: ascending, -0 before 0.
uint64_t ck_ordered_bits(double v);

/// Counts, for every key whose ordered bits above `shift + width` are `prefix`, its `width` bits from `shift` on: one of
/// 2^width bins. If there are no bits above, it returns how many keys are 0.
size_t ck_histogram(const double *keys, size_t n, int shift, int width, uint64_t prefix, uint32_t *bins);

/// The ordered bits from CK_WINDOW_SHIFT on of numbers from CK_WINDOW_LEAST on are 65,536 in a row up to 2^4: ten bits of
/// the fraction for the sizes that deltas and their variances have.
enum { CK_WINDOW_SHIFT = 42 };
#define CK_WINDOW_LEAST 0x1p-60

/// Counts every key by its place in the window, lesser ones in the first bin and greater ones in the last. Returns how
/// many keys are 0.
size_t ck_window_histogram(const double *keys, size_t n, uint32_t *bins);

/// Counts, for every key whose ordered bits are `key` and whose place, start + i, starts with `prefix` above
/// `shift + 16`, the place's 16 bits from `shift` on.
void ck_place_histogram(const double *keys, size_t n, uint64_t key, uint64_t start, int shift, uint64_t prefix,
                        uint32_t *bins);

/// Finds the keys other than 0 whose ordered bits lie from `low` to `high`, and writes these bits and their places,
/// start + i; there must be room for n of each. Returns how many there are, and adds to counts[0] how many keys have
/// ordered bits below `low`, to counts[1] how many are 0.
size_t ck_collect(const double *keys, size_t n, uint64_t low, uint64_t high, uint64_t start, uint64_t *found_keys,
                  uint64_t *found_places, uint64_t *counts);

/// Adds the products of the rows x[j] and x[k], j <= k, each less base[i] if there is a base, to the sums in the
/// order (0,0), (0,1), ..., (1,1), ...
void ck_products(const double *x, size_t stride, size_t count, const double *base, double *lanes, size_t n);

/// Compares models of one base. Adds, for each model k in 1..<count, its share |d_k| / sum over j of |d_j| (equal shares
/// where no model moved) to sum 2(k-1), and 1 to sum 2(k-1)+1 where d_k is 0; then 1 to sum 2(count-1) where at least two
/// models moved, to the next where some of them moved up and some down. The lanes of the greatest |d_k| follow, sum
/// 2(count-1)+1+k. Counts and greatest values, which come out the same in any order, are in the first lanes.
void ck_compare(const double *x, size_t stride, size_t count, double *lanes, size_t n);

/// target[i * n + j] += scale * sum over k of b[i * rank + k] * a[k * stride + j], terms in ascending k, for `rows`
/// rows of n values: a piece of the product of two thin matrices. Where the sum is 0 the value stays as it is.
void ck_add_product(const double *b, const double *a, size_t rank, size_t stride, double scale, double *target,
                    size_t rows, size_t n);

/// target[i] = e^(x[i] - shift) * factor + offset.
void ck_exponentials(const double *x, double shift, double factor, double offset, double *target, size_t n);

/// target[i] = p[i] * ln(p[i] / q[i]).
void ck_divergence(const double *p, const double *q, double *target, size_t n);

/// ck_mean in binary32 with fused multiply-adds, as mergekit's `linear` computes on a CPU.
void ck_fma_mean(const double *x, size_t stride, const double *c, size_t count, double divisor, double *target,
                 size_t n);

enum { CK_MAX_SOURCES = 32 };

/// Stored elements: F64, F32, F16 or BF16, little-endian, at any alignment.
typedef struct {
  const void *bytes;
  ck_type type;
} ck_source;

/// How sources combine: as ck_mean and ck_fma_mean (scale is the divisor), as ck_deltas, or as ck_element_weights and
/// ck_element_combine (weights are the scales; scale is lambda).
typedef enum { CK_MEAN, CK_FMA_MEAN, CK_DELTAS, CK_ELEMENTS } ck_kind;
typedef struct {
  ck_kind kind;
  const double *weights;
  const double *priors;
  double scale;
  double power;
  int whole;
  int has_base;  // Source 0 is the base; CK_DELTAS and CK_ELEMENTS need it.
} ck_combination;

/// Widens n elements from `first` on of up to CK_MAX_SOURCES sources, combines them and rounds to `type` at `target`: the same bits as
/// ck_widen, the kernel named and ck_narrow one after the other. `lanes` are those of ck_element_combine, and `counts`
/// those of ck_count_rounding, deltas being counted for types of at most 16 bits. Returns 1 if any source's element is NaN
/// or infinite, else 0.
int ck_combine(const ck_combination *way, const ck_source *x, size_t count, size_t first, double *lanes, ck_type type,
               void *target, size_t n, uint64_t *counts);

/// ck_delta_sums of n stored elements from `first` on. Returns 1 if any is NaN or infinite, else 0.
int ck_stored_delta_sums(ck_sums sums, const ck_source *x, size_t count, size_t first, double *lanes, size_t n);

/// The number that a sort would bring to v[rank], rank < n. Those before this place are then at most as large, those behind
/// it at least.
uint64_t ck_select(uint64_t *v, size_t n, size_t rank);

/// Keys of elements: the sizes of the deltas, a channel for each model; or ck_variances of all models, one channel.
typedef enum { CK_SIZES, CK_VARIANCES } ck_keys;

/// A search by ck_collect among the keys of a channel: `found` of them stand in `keys` and `places`, and `counts` are those of
/// ck_collect.
typedef struct {
  size_t channel;
  uint64_t low, high;
  uint64_t counts[2];
  size_t found;
  uint64_t *keys, *places;
} ck_range;

/// Adds what ck_collect finds among the keys of n stored elements from `first` on, whose places start at `start`, to each
/// of the ranges, which are ordered by channel and have room for n more. Returns 1 if any element is NaN or infinite, else 0.
int ck_stored_collect(const ck_source *x, size_t count, ck_keys keys, size_t first, uint64_t start, ck_range *ranges,
                      size_t range_count, size_t n);

/// Which elements of a model's delta are kept: those whose size lies from `least` to `greatest` and whose number in the
/// stream `key` is below `probability`, if that is below 1. What is kept is multiplied by `factor`.
typedef struct {
  double least, greatest;
  double probability;
  uint64_t key;
  double factor;
} ck_selection;

/// How selected deltas become one, as ck_vote has it; if `by_variance`, only elements whose ck_variances are at least
/// `least_variance` take part.
typedef struct {
  const ck_selection *selections;
  int by_variance;
  double least_variance;
  const double *votes, *weights;
  int elects;
  double zero_sign;
  int normalize;
  double scale;
} ck_consensus;

/// Fuses n stored elements from `first` on of a base and count - 1 models and rounds to `type` at `target`: the same bits as
/// ck_widen, ck_interval, ck_keep_above, ck_keep, ck_vote and ck_narrow one after the other. `start` is the place of the
/// first element in the random streams; `counts` as in ck_combine. Returns 1 if any element is NaN or infinite, else 0.
int ck_stored_vote(const ck_consensus *way, const ck_source *x, size_t count, size_t first, uint64_t start,
                   ck_type type, void *target, size_t n, uint64_t *counts);

/// ck_magnitudes of every model's deltas, 0 where ck_variances are below `least`, from the element at `cut` on (counted from
/// `first`) below `least_after`: of model k to the sums 2(k - 1) and 2(k - 1) + 1. Returns 1 if any element is NaN or
/// infinite, else 0.
int ck_stored_kept_squares(const ck_source *x, size_t count, size_t first, size_t cut, double least, double least_after,
                           double *lanes, size_t n);

/// e^v, within two units in the last place for |v| < 700, the same bits on every machine.
double ck_exponential(double v);

/// ln v for a normal v > 0, within two units in the last place away from 1, the same bits on every machine.
double ck_logarithm(double v);

/// Number `place` of the stream of uniform numbers in [0, 1) that `key` names: SplitMix64 as a function of a counter.
double ck_random(uint64_t key, uint64_t place);

/// base^exponent for finite base >= 0, the same bits on every machine: exact for the exponents 0 and 1, within
/// a few units in the last place for others of moderate size. 0^0 = 1; 0 to a negative exponent is infinity.
double ck_power(double base, double exponent);

/// target[i] = fold(ordered(source[i]) - ordered(base[i])) modulo 2^(8 * width), for n floating-point numbers of 1, 2, 4
/// or 8 bytes, little-endian and at any alignment: `ordered` maps their bits to integers that order as the numbers do,
/// -0 just below 0, and `fold` takes the differences 0, -1, 1, -2, 2, ... to 0, 1, 2, 3, 4, ...
void ck_encode_differences(const void *source, const void *base, void *target, size_t width, size_t n);

/// The inverse of ck_encode_differences, in place and for every bit pattern.
void ck_decode_differences(void *bytes, const void *base, size_t width, size_t n);

/// Gathers byte first + b of all n elements of `width` bytes into plane b of the target, for each b < count: the
/// encoding of HDF5's shuffle filter, or some planes of it. Planes begin `stride` >= n bytes apart; what lies between them is
/// left as it is. Source and target don't overlap; any alignment.
void ck_shuffle(const void *source, void *target, size_t width, size_t first, size_t count, size_t n, size_t stride);

/// The inverse of ck_shuffle.
void ck_unshuffle(const void *source, void *target, size_t width, size_t n);
#endif
