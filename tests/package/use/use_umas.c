/* A program that only knows the installed package: the library refuses a missing file. */
#include <stdio.h>
#include <umas.h>

int main(void) {
    umas_model *model;
    umas_error error;
    umas_model_open("no-such-model.safetensors", &model, &error);
    printf("umas %s: %s\n", umas_version(), error.message);
    return error.status == UMAS_ERROR_IO ? 0 : 1;
}
