!> Data sets of the client, see parslflow_client.
module parslflow_dataset
  use, intrinsic :: iso_c_binding, only: c_char, c_double, c_float, c_int, c_int32_t, c_int64_t, &
                                         c_null_ptr, c_ptr
  use parslflow_errors, only: PF_OK
  use parslflow_text, only: c_text, fortran_text, fortran_texts, store_text
  implicit none
  private

  integer, parameter :: MAX_RANK = 15 ! CFI_MAX_RANK

  !> Named tensors and metadata that travel together; a copy of what was added.
  type, public :: store_dataset
    type(c_ptr) :: handle = c_null_ptr !! for this library only
  contains
    procedure :: initialize
    procedure :: free
    procedure :: message => dataset_message
    procedure :: add_tensor
    generic :: add_metadata => add_int32, add_int64, add_real32, add_real64, add_character
    procedure :: tensor_names
    procedure :: describe_tensor
    procedure :: get_tensor
    generic :: get_metadata => get_int32, get_int64, get_real32, get_real64, get_character
    procedure, private :: add_int32, add_int64, add_real32, add_real64, add_character
    procedure, private :: get_int32, get_int64, get_real32, get_real64, get_character
  end type store_dataset

  interface
    function pf_dataset_initialize(dataset, name) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), intent(inout) :: dataset
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int) :: error
    end function pf_dataset_initialize

    subroutine pf_dataset_free(dataset) bind(c)
      import :: c_ptr
      type(c_ptr), value :: dataset
    end subroutine pf_dataset_free

    function pf_dataset_message(dataset) bind(c) result(text)
      import :: c_ptr
      type(c_ptr), value :: dataset
      type(c_ptr) :: text
    end function pf_dataset_message

    function pf_dataset_add_tensor(dataset, name, array) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(in) :: array(..)
      integer(c_int) :: error
    end function pf_dataset_add_tensor

    function pf_dataset_add_int32(dataset, field, value) bind(c) result(error)
      import :: c_char, c_int, c_int32_t, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      integer(c_int32_t), value :: value
      integer(c_int) :: error
    end function pf_dataset_add_int32

    function pf_dataset_add_int64(dataset, field, value) bind(c) result(error)
      import :: c_char, c_int64_t, c_int, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      integer(c_int64_t), value :: value
      integer(c_int) :: error
    end function pf_dataset_add_int64

    function pf_dataset_add_float(dataset, field, value) bind(c) result(error)
      import :: c_char, c_float, c_int, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      real(c_float), value :: value
      integer(c_int) :: error
    end function pf_dataset_add_float

    function pf_dataset_add_double(dataset, field, value) bind(c) result(error)
      import :: c_char, c_double, c_int, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      real(c_double), value :: value
      integer(c_int) :: error
    end function pf_dataset_add_double

    function pf_dataset_add_string(dataset, field, value) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*), value(*)
      integer(c_int) :: error
    end function pf_dataset_add_string

    function pf_dataset_tensor_count(dataset, count) bind(c) result(error)
      import :: c_int, c_int64_t, c_ptr
      type(c_ptr), value :: dataset
      integer(c_int64_t), intent(out) :: count
      integer(c_int) :: error
    end function pf_dataset_tensor_count

    function pf_dataset_tensor_names(dataset, count, names) bind(c) result(error)
      import :: c_int, c_int64_t, c_ptr
      type(c_ptr), value :: dataset
      integer(c_int64_t), value :: count
      type(c_ptr), intent(inout) :: names(*)
      integer(c_int) :: error
    end function pf_dataset_tensor_names

    function pf_dataset_describe_tensor(dataset, name, type_name, rank, extents) bind(c) &
      result(error)
      import :: c_char, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), intent(out) :: type_name
      integer(c_int), intent(out) :: rank
      integer(c_int64_t), intent(inout) :: extents(*)
      integer(c_int) :: error
    end function pf_dataset_describe_tensor

    function pf_dataset_get_tensor(dataset, name, array) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(inout) :: array(..)
      integer(c_int) :: error
    end function pf_dataset_get_tensor

    function pf_dataset_metadata_count(dataset, field, count) bind(c) result(error)
      import :: c_char, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      integer(c_int64_t), intent(out) :: count
      integer(c_int) :: error
    end function pf_dataset_metadata_count

    function pf_dataset_get_int32(dataset, field, count, values) bind(c) result(error)
      import :: c_char, c_int, c_int64_t, c_ptr, c_int32_t
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      integer(c_int64_t), value :: count
      integer(c_int32_t), intent(inout) :: values(*)
      integer(c_int) :: error
    end function pf_dataset_get_int32

    function pf_dataset_get_int64(dataset, field, count, values) bind(c) result(error)
      import :: c_char, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      integer(c_int64_t), value :: count
      integer(c_int64_t), intent(inout) :: values(*)
      integer(c_int) :: error
    end function pf_dataset_get_int64

    function pf_dataset_get_float(dataset, field, count, values) bind(c) result(error)
      import :: c_char, c_int, c_int64_t, c_ptr, c_float
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      integer(c_int64_t), value :: count
      real(c_float), intent(inout) :: values(*)
      integer(c_int) :: error
    end function pf_dataset_get_float

    function pf_dataset_get_double(dataset, field, count, values) bind(c) result(error)
      import :: c_char, c_int, c_int64_t, c_ptr, c_double
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      integer(c_int64_t), value :: count
      real(c_double), intent(inout) :: values(*)
      integer(c_int) :: error
    end function pf_dataset_get_double

    function pf_dataset_get_strings(dataset, field, count, values) bind(c) result(error)
      import :: c_char, c_int, c_int64_t, c_ptr
      type(c_ptr), value :: dataset
      character(kind=c_char), intent(in) :: field(*)
      integer(c_int64_t), value :: count
      type(c_ptr), intent(inout) :: values(*)
      integer(c_int) :: error
    end function pf_dataset_get_strings
  end interface

contains

  !> Begins a data set; what it held is dropped.
  function initialize(self, name) result(error)
    class(store_dataset), intent(inout) :: self
    character(len=*), intent(in) :: name
    integer(c_int) :: error

    error = pf_dataset_initialize(self%handle, c_text(name))
  end function initialize

  !> Gives the data set's memory back.
  subroutine free(self)
    class(store_dataset), intent(inout) :: self

    call pf_dataset_free(self%handle)
    self%handle = c_null_ptr
  end subroutine free

  !> What went wrong in the latest call on the data set.
  function dataset_message(self) result(text)
    class(store_dataset), intent(in) :: self
    character(len=:), allocatable :: text

    text = fortran_text(pf_dataset_message(self%handle))
  end function dataset_message

  function add_tensor(self, name, array) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name
    type(*), intent(in) :: array(..)
    integer(c_int) :: error

    error = pf_dataset_add_tensor(self%handle, c_text(name), array)
  end function add_tensor

  function add_int32(self, name, value) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field; adding to it again appends
    integer(c_int32_t), intent(in) :: value
    integer(c_int) :: error

    error = pf_dataset_add_int32(self%handle, c_text(name), value)
  end function add_int32

  function add_int64(self, name, value) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field; adding to it again appends
    integer(c_int64_t), intent(in) :: value
    integer(c_int) :: error

    error = pf_dataset_add_int64(self%handle, c_text(name), value)
  end function add_int64

  function add_real32(self, name, value) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field; adding to it again appends
    real(c_float), intent(in) :: value
    integer(c_int) :: error

    error = pf_dataset_add_float(self%handle, c_text(name), value)
  end function add_real32

  function add_real64(self, name, value) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field; adding to it again appends
    real(c_double), intent(in) :: value
    integer(c_int) :: error

    error = pf_dataset_add_double(self%handle, c_text(name), value)
  end function add_real64

  function add_character(self, name, value) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field; adding to it again appends
    character(len=*), intent(in) :: value !! trailing blanks are dropped
    integer(c_int) :: error

    error = pf_dataset_add_string(self%handle, c_text(name), c_text(value))
  end function add_character

  !> The names of the tensors, in the order in which they were added.
  function tensor_names(self, names) result(error)
    class(store_dataset), intent(in) :: self
    type(store_text), allocatable, intent(inout) :: names(:) !! not allocated on errors
    integer(c_int) :: error
    integer(c_int64_t) :: count
    type(c_ptr), allocatable :: found(:)

    if (allocated(names)) deallocate (names)
    error = pf_dataset_tensor_count(self%handle, count)
    if (error /= PF_OK) return
    allocate (found(count))
    error = pf_dataset_tensor_names(self%handle, count, found)
    if (error == PF_OK) names = fortran_texts(found)
  end function tensor_names

  !> A tensor's type and shape.
  function describe_tensor(self, name, type_name, extents) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name
    character(len=:), allocatable, intent(out) :: type_name
      !! FLOAT, DOUBLE, INT8, INT16, INT32, INT64, UINT8 or UINT16; not allocated on errors
    integer(c_int64_t), allocatable, intent(out) :: extents(:) !! not allocated on errors
    integer(c_int) :: error
    integer(c_int64_t) :: found(MAX_RANK)
    type(c_ptr) :: address
    integer(c_int) :: rank

    error = pf_dataset_describe_tensor(self%handle, c_text(name), address, rank, found)
    if (error /= PF_OK) return
    type_name = fortran_text(address)
    extents = found(:rank)
  end function describe_tensor

  function get_tensor(self, name, array) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name
    type(*), intent(inout) :: array(..) !! of the tensor's type and shape; unchanged on errors
    integer(c_int) :: error

    error = pf_dataset_get_tensor(self%handle, c_text(name), array)
  end function get_tensor

  function get_int32(self, name, values) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field
    integer(c_int32_t), allocatable, intent(out) :: values(:) !! not allocated on errors
    integer(c_int) :: error
    integer(c_int64_t) :: count

    error = pf_dataset_metadata_count(self%handle, c_text(name), count)
    if (error /= PF_OK) return
    allocate (values(count))
    error = pf_dataset_get_int32(self%handle, c_text(name), count, values)
    if (error /= PF_OK) deallocate (values)
  end function get_int32

  function get_int64(self, name, values) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field
    integer(c_int64_t), allocatable, intent(out) :: values(:) !! not allocated on errors
    integer(c_int) :: error
    integer(c_int64_t) :: count

    error = pf_dataset_metadata_count(self%handle, c_text(name), count)
    if (error /= PF_OK) return
    allocate (values(count))
    error = pf_dataset_get_int64(self%handle, c_text(name), count, values)
    if (error /= PF_OK) deallocate (values)
  end function get_int64

  function get_real32(self, name, values) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field
    real(c_float), allocatable, intent(out) :: values(:) !! not allocated on errors
    integer(c_int) :: error
    integer(c_int64_t) :: count

    error = pf_dataset_metadata_count(self%handle, c_text(name), count)
    if (error /= PF_OK) return
    allocate (values(count))
    error = pf_dataset_get_float(self%handle, c_text(name), count, values)
    if (error /= PF_OK) deallocate (values)
  end function get_real32

  function get_real64(self, name, values) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field
    real(c_double), allocatable, intent(out) :: values(:) !! not allocated on errors
    integer(c_int) :: error
    integer(c_int64_t) :: count

    error = pf_dataset_metadata_count(self%handle, c_text(name), count)
    if (error /= PF_OK) return
    allocate (values(count))
    error = pf_dataset_get_double(self%handle, c_text(name), count, values)
    if (error /= PF_OK) deallocate (values)
  end function get_real64

  function get_character(self, name, values) result(error)
    class(store_dataset), intent(in) :: self
    character(len=*), intent(in) :: name !! field
    type(store_text), allocatable, intent(inout) :: values(:) !! not allocated on errors
    integer(c_int) :: error
    integer(c_int64_t) :: count
    type(c_ptr), allocatable :: found(:)

    if (allocated(values)) deallocate (values)
    error = pf_dataset_metadata_count(self%handle, c_text(name), count)
    if (error /= PF_OK) return
    allocate (found(count))
    error = pf_dataset_get_strings(self%handle, c_text(name), count, found)
    if (error == PF_OK) values = fortran_texts(found)
  end function get_character

end module parslflow_dataset
