# Makes stand-ins for CUDA libraries that torch's CUDA build only loads, and calls with a GPU alone.
# Each library of torch/lib that needs one gets it there: the same name and symbols, no content.
# Run in site-packages; needs binutils. Not for images that are to use a GPU.
set -eu
cd torch/lib
work=$(mktemp -d)
readelf --dynamic ./*.so | sed -n 's/.*(NEEDED).*\[\(lib.*\)\]/\1/p' | sort -u > "$work/needed"
nm --dynamic --undefined-only --no-demangle ./*.so | sed -n 's/^ *U \([A-Za-z0-9_]*\).*/\1/p' | sort -u > "$work/symbols"
for name in $(grep -E '^lib(cublas|cublasLt|cudnn|cufft|curand|cusparse|cusparseLt|nccl|nvrtc)\.so' "$work/needed"); do
    prefix=${name#lib}
    prefix=${prefix%%.so*}
    { grep "^$prefix" "$work/symbols" | sed 's/.*/.globl &\n&:/'; echo '.zero 16'; } > "$work/source"
    echo "$name { global: *; };" > "$work/versions"
    as -o "$work/object" "$work/source"
    ld -shared -z noexecstack --soname "$name" --version-script "$work/versions" -o "$name" "$work/object"
done
rm -r "$work"
