// The hot loops of embedfuse. Every function is pure, allocates nothing and keeps no state but the chosen
// instruction set; its result is the same bits on every instruction set (no contraction, fixed lanes).
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

/// Partial sums run in this many lanes: element i of a run belongs to lane i mod CK_LANES.
enum { CK_LANES = 8 };

/// The best level this processor has.
ck_level ck_best_level(void);
/// The level in use: the best one, unless ck_use_level chose another.
ck_level ck_current_level(void);
/// Uses another level, for tests and for `EMBEDFUSE_KERNELS`; ignored if the processor lacks it. Not to be called while kernels run.
void ck_use_level(ck_level level);

/// Widens n elements of `type` at `source` (any alignment, little-endian) to binary64, exactly.
/// Returns 1 if any is NaN or infinite, else 0.
int ck_widen(ck_type type, const void *source, double *target, size_t n);

/// Rounds n binary64 values once (to nearest, ties to even) to `type` at `target` (any alignment).
/// Overflow gives infinity; NaN where the type has no infinity (E4M3, FNUZ).
void ck_narrow(ck_type type, const double *source, void *target, size_t n);

/// target[i] = x[a][i] + (sum over j != a of c[j] * (x[j][i] - x[a][i])) / divisor, where x[j] = x + j * stride.
/// Terms are added in ascending j; terms with c[j] == 0 are left out.
void ck_affine(const double *x, size_t stride, const double *c, size_t count, size_t a, double divisor,
               double *target, size_t n);

/// target[i] = (sum over j of c[j] * x[j][i]) / divisor.
void ck_linear(const double *x, size_t stride, const double *c, size_t count, double divisor, double *target,
               size_t n);

/// For each model k in 1..<count: lanes[(2(k-1)) * CK_LANES + l] += |x[k]-x[0]| and
/// lanes[(2(k-1)+1) * CK_LANES + l] += (x[k]-x[0])^2 over the lane's elements; then
/// lanes[2(count-1) * CK_LANES + l] += x[0]^2. Element i belongs to lane i mod CK_LANES.
void ck_delta_sums(const double *x, size_t stride, size_t count, double *lanes, size_t n);

/// Delta-guided fusion at element granularity with weights w_k = s_k |d_k|^p / sum, d_k = x[k] - x[0]:
/// target[i] = sum_k w_k x[k] for lambda == 1, else x[0] + lambda * sum_k w_k d_k, both computed around the model of largest weight.
/// scale[k-1] (> 0 or 0) multiplies |d_k| before the power, prior[k-1] after it. Where all scaled deltas are 0 the weights are
/// the priors' shares; with p < 0 the models that did not move share the whole weight.
/// weight_lanes[(k-1) * CK_LANES + l] += w_k. scratch: at least 2 * count * n doubles... see CKernels.c.
void ck_element_guided(const double *x, size_t stride, size_t count, const double *scale, const double *prior,
                       double power, double lambda, double *weight_lanes, double *scratch, double *target,
                       size_t n);

/// For the weights of ck_element_guided: lanes[(k-1)*CK_LANES + l] += (w_k d_k)^2 and
/// lanes[(count-1)*CK_LANES + l] += (sum_k w_k d_k)^2.
void ck_element_guided_norms(const double *x, size_t stride, size_t count, const double *scale,
                             const double *prior, double power, double *lanes, double *scratch, size_t n);

/// For constant weights w[k-1]: lanes[(k-1)*CK_LANES + l] += (w_k d_k)^2 and
/// lanes[(count-1)*CK_LANES + l] += (sum_k w_k d_k)^2.
void ck_weighted_norms(const double *x, size_t stride, size_t count, const double *w, double *lanes, size_t n);

/// base^exponent for base >= 0, the same bits on every machine: exact for exponents 0, 1 and 2, else within a few units in the
/// last place. 0^0 = 1; 0^negative = infinity.
double ck_power(double base, double exponent);

/// Gathers byte b of all n elements of `width` bytes into plane b of the target, for each b: the encoding of
/// HDF5's shuffle filter. Source and target don't overlap; any alignment.
void ck_shuffle(const void *source, void *target, size_t width, size_t n);

/// The inverse of ck_shuffle.
void ck_unshuffle(const void *source, void *target, size_t width, size_t n);
#endif
