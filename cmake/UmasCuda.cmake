# The CUDA engine: built where nvcc is found, unless UMAS_CUDA says otherwise.

set(UMAS_CUDA AUTO CACHE STRING "Build the CUDA engine: AUTO (where nvcc is found), ON or OFF")
set_property(CACHE UMAS_CUDA PROPERTY STRINGS AUTO ON OFF)
set(UMAS_CUDA_FOUND OFF)

if(UMAS_CUDA)
    # PTX of 8.0 besides machine code lets GPUs newer than this list run it, compiled at start.
    if(NOT CMAKE_CUDA_ARCHITECTURES)
        set(CMAKE_CUDA_ARCHITECTURES "80;90a-real;100-real" CACHE STRING "GPUs to compile for")
    endif()
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        enable_language(CUDA)
        find_package(CUDAToolkit 12.8 REQUIRED)
        set(CMAKE_CUDA_STANDARD 17)
        set(CMAKE_CUDA_STANDARD_REQUIRED ON)
        set(UMAS_CUDA_FOUND ON)
    elseif(UMAS_CUDA STREQUAL "ON")
        message(FATAL_ERROR "UMAS_CUDA=ON, but no CUDA compiler was found: put nvcc on PATH or set "
                            "CMAKE_CUDA_COMPILER.")
    else()
        message(STATUS "No CUDA compiler: the CUDA engine is left out")
    endif()
endif()

# The engine opens cuBLAS and NCCL at run time.  In a wheel its libraries look for those that pip
# installs beside it: folders of site-packages.
set(UMAS_NVIDIA_FOLDERS "")
if(UMAS_WHEEL AND UMAS_CUDA_FOUND)
    if(NOT CUDAToolkit_VERSION_MAJOR EQUAL 13)
        message(FATAL_ERROR "The wheel's extra [gpu] in pyproject.toml brings cuBLAS of CUDA 13, but "
                            "${CMAKE_CUDA_COMPILER} is of CUDA ${CUDAToolkit_VERSION}.")
    endif()
    set(UMAS_NVIDIA_FOLDERS nvidia/cu13/lib nvidia/nccl/lib)
endif()
