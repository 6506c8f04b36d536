# OpenBLAS as the target umas_blas: the system's, else PyPI's scipy-openblas32, whose symbols begin
# with scipy_ (UMAS_BLAS_PREFIX).  The wheel's library is installed with umas (UMAS_BLAS_WHEEL).

# The reference BLAS also has a cblas.h, but nothing that sets the number of threads.
function(umas_has_openblas_threads accepted path)
    file(STRINGS "${path}/cblas.h" line REGEX "openblas_set_num_threads")
    if(NOT line)
        set(${accepted} FALSE PARENT_SCOPE)
    endif()
endfunction()

set(openblas_folders openblas-pthread openblas-openmp openblas)
find_path(OPENBLAS_INCLUDE_DIR cblas.h PATH_SUFFIXES ${openblas_folders}
          VALIDATOR umas_has_openblas_threads)
find_library(OPENBLAS_LIBRARY openblas PATH_SUFFIXES ${openblas_folders})
mark_as_advanced(OPENBLAS_INCLUDE_DIR OPENBLAS_LIBRARY)

add_library(umas_blas INTERFACE)
if(OPENBLAS_INCLUDE_DIR AND OPENBLAS_LIBRARY)
    message(STATUS "BLAS: ${OPENBLAS_LIBRARY}")
    target_include_directories(umas_blas SYSTEM INTERFACE "${OPENBLAS_INCLUDE_DIR}")
    target_link_libraries(umas_blas INTERFACE "${OPENBLAS_LIBRARY}")
    target_compile_definitions(umas_blas INTERFACE UMAS_BLAS_PREFIX=)
else()
    set(requirement "scipy-openblas32==0.3.34.481.3")
    umas_python_require("${requirement}"
        HINT "Instead of it, OpenBLAS of the system will do (Debian: libopenblas-dev).")
    set(UMAS_BLAS_WHEEL "${UMAS_PYTHON_SITE}/scipy_openblas32/lib/libscipy_openblas.so")
    file(GLOB UMAS_BLAS_LICENSE
         "${UMAS_PYTHON_SITE}/scipy_openblas32-*.dist-info/licenses/LICENSE.txt")
    message(STATUS "BLAS: ${requirement} from PyPI")
    add_library(umas_blas_wheel SHARED IMPORTED)
    set_target_properties(umas_blas_wheel PROPERTIES IMPORTED_LOCATION "${UMAS_BLAS_WHEEL}")
    target_include_directories(umas_blas SYSTEM INTERFACE
                               "${UMAS_PYTHON_SITE}/scipy_openblas32/include")
    target_link_libraries(umas_blas INTERFACE umas_blas_wheel)
    target_compile_definitions(umas_blas INTERFACE UMAS_BLAS_PREFIX=scipy_)
endif()
