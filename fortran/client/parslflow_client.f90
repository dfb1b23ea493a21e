!> The client of a simulation, over the C core in parslflow_client.h, which says what is guaranteed.
!!
!! Every function returns an error code, PF_OK or one of the constants below; message() says in one
!! sentence what went wrong. A call connects again when the connection was lost, and waits while the
!! store is full, until the time limit.
!!
!! Arrays are real32, real64 or int32 of any rank from 1, contiguous or not. An element a(i, j) is
!! a[i-1, j-1] in Python.
!!
!! Both types hold a handle: a copy of a variable is the same client or data set, and the memory is
!! given back by disconnect() and free(), once.
module parslflow_client
  use, intrinsic :: iso_c_binding, only: c_associated, c_char, c_double, c_f_pointer, c_int, &
                                         c_int32_t, c_loc, c_null_char, c_null_ptr, c_ptr, c_size_t
  implicit none
  private

  ! As enum pf_error in parslflow_client.h, which describes them.
  integer(c_int), parameter, public :: PF_OK = 0
  integer(c_int), parameter, public :: PF_CONNECTION = 1
  integer(c_int), parameter, public :: PF_TIMEOUT = 2
  integer(c_int), parameter, public :: PF_SERVER = 3
  integer(c_int), parameter, public :: PF_STORE_FULL = 4
  integer(c_int), parameter, public :: PF_MISSING_KEY = 5
  integer(c_int), parameter, public :: PF_WRONG_TYPE = 6
  integer(c_int), parameter, public :: PF_WRONG_SHAPE = 7
  integer(c_int), parameter, public :: PF_BAD_ARGUMENT = 8
  integer(c_int), parameter, public :: PF_NO_MEMORY = 9
  integer(c_int), parameter, public :: PF_INFERENCE = 10

  real(c_double), parameter :: DEFAULT_TIME_LIMIT = 60 ! s

  !> A connection to the store, or what runs models in this process.
  type, public :: store_client
    private
    type(c_ptr) :: handle = c_null_ptr
  contains
    procedure :: connect
    procedure :: disconnect
    procedure :: message => client_message
    procedure :: put_tensor
    procedure :: get_tensor
    procedure :: delete_tensor
    procedure :: key_exists
    procedure :: set_model_from_file
    procedure :: run_model
    procedure :: infer
    procedure :: put_dataset
    procedure :: append_to_list
    procedure :: put_dataset_to_list
  end type store_client

  !> Named tensors and metadata that travel together; a copy of what was added.
  type, public :: store_dataset
    private
    type(c_ptr) :: handle = c_null_ptr
  contains
    procedure :: initialize
    procedure :: free
    procedure :: message => dataset_message
    procedure :: add_tensor
    generic :: add_metadata => add_int32, add_real64, add_character
    procedure, private :: add_int32, add_real64, add_character
  end type store_dataset

  interface
    function pf_connect(client, time_limit) bind(c) result(error)
      import :: c_double, c_int, c_ptr
      type(c_ptr), intent(inout) :: client
      real(c_double), value :: time_limit
      integer(c_int) :: error
    end function pf_connect

    subroutine pf_disconnect(client) bind(c)
      import :: c_ptr
      type(c_ptr), value :: client
    end subroutine pf_disconnect

    function pf_client_message(client) bind(c) result(text)
      import :: c_ptr
      type(c_ptr), value :: client
      type(c_ptr) :: text
    end function pf_client_message

    function pf_put_tensor(client, name, array) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(in) :: array(..)
      integer(c_int) :: error
    end function pf_put_tensor

    function pf_get_tensor(client, name, array) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      type(*), intent(inout) :: array(..)
      integer(c_int) :: error
    end function pf_get_tensor

    function pf_delete_tensor(client, name) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int) :: error
    end function pf_delete_tensor

    function pf_key_exists(client, name, found) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), intent(out) :: found
      integer(c_int) :: error
    end function pf_key_exists

    function pf_set_model_from_file(client, name, path, device) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*), path(*), device(*)
      integer(c_int) :: error
    end function pf_set_model_from_file

    function pf_run_model(client, name, input_count, inputs, output_count, outputs) bind(c) &
      result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), value :: input_count, output_count
      type(c_ptr), intent(in) :: inputs(*), outputs(*)
      integer(c_int) :: error
    end function pf_run_model

    function pf_infer_array(client, model, input, output) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client
      character(kind=c_char), intent(in) :: model(*)
      type(*), intent(in) :: input(..)
      type(*), intent(inout) :: output(..)
      integer(c_int) :: error
    end function pf_infer_array

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

    function pf_put_dataset(client, dataset) bind(c) result(error)
      import :: c_int, c_ptr
      type(c_ptr), value :: client, dataset
      integer(c_int) :: error
    end function pf_put_dataset

    function pf_append_to_list(client, list, dataset) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client, dataset
      character(kind=c_char), intent(in) :: list(*)
      integer(c_int) :: error
    end function pf_append_to_list

    function pf_put_dataset_to_list(client, list, dataset) bind(c) result(error)
      import :: c_char, c_int, c_ptr
      type(c_ptr), value :: client, dataset
      character(kind=c_char), intent(in) :: list(*)
      integer(c_int) :: error
    end function pf_put_dataset_to_list

    function c_strlen(text) bind(c, name="strlen") result(length)
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
      integer(c_size_t) :: length
    end function c_strlen
  end interface

contains

  !> Connects to the store of the environment's SSDB; parslflow_client.h says what else is looked at.
  function connect(self, time_limit) result(error)
    class(store_client), intent(inout) :: self
    real(c_double), intent(in), optional :: time_limit
      !! of this call and each later one, s; 60 by default
    integer(c_int) :: error

    if (present(time_limit)) then
      error = pf_connect(self%handle, time_limit)
    else
      error = pf_connect(self%handle, DEFAULT_TIME_LIMIT)
    end if
  end function connect

  !> Closes the connection and gives the client's memory back.
  function disconnect(self) result(error)
    class(store_client), intent(inout) :: self
    integer(c_int) :: error

    call pf_disconnect(self%handle)
    self%handle = c_null_ptr
    error = PF_OK
  end function disconnect

  !> What went wrong in the latest call, with the key, the address and the likely cause.
  function client_message(self) result(text)
    class(store_client), intent(in) :: self
    character(len=:), allocatable :: text

    text = fortran_text(pf_client_message(self%handle))
  end function client_message

  function put_tensor(self, name, array) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name !! key
    type(*), intent(in) :: array(..)
    integer(c_int) :: error

    error = pf_put_tensor(self%handle, c_text(name), array)
  end function put_tensor

  function get_tensor(self, name, array) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name !! key
    type(*), intent(inout) :: array(..) !! of the tensor's type and shape; unchanged on errors
    integer(c_int) :: error

    error = pf_get_tensor(self%handle, c_text(name), array)
  end function get_tensor

  function delete_tensor(self, name) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name !! key
    integer(c_int) :: error

    error = pf_delete_tensor(self%handle, c_text(name))
  end function delete_tensor

  function key_exists(self, name, found) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name !! key
    logical, intent(out) :: found !! false on errors
    integer(c_int) :: error
    integer(c_int) :: c_found

    error = pf_key_exists(self%handle, c_text(name), c_found)
    found = c_found /= 0
  end function key_exists

  function set_model_from_file(self, name, path, device) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name !! key
    character(len=*), intent(in) :: path !! of a TorchScript file
    character(len=*), intent(in) :: device !! CPU, GPU or GPU:n
    integer(c_int) :: error

    error = pf_set_model_from_file(self%handle, c_text(name), c_text(path), c_text(device))
  end function set_model_from_file

  function run_model(self, name, inputs, outputs) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: name !! key of the model
    character(len=*), intent(in) :: inputs(:), outputs(:) !! keys of tensors
    integer(c_int) :: error
    character(len=len(inputs) + 1, kind=c_char), target :: input_texts(size(inputs))
    character(len=len(outputs) + 1, kind=c_char), target :: output_texts(size(outputs))

    input_texts = c_texts(inputs)
    output_texts = c_texts(outputs)
    error = pf_run_model(self%handle, c_text(name), size(inputs, kind=c_int), &
                         addresses(input_texts), size(outputs, kind=c_int), addresses(output_texts))
  end function run_model

  !> Runs a model on an array, where the environment's PARSLFLOW_INFERENCE says: in the store, in one
  !! round trip that leaves nothing there, or in this process.
  function infer(self, model, input, output) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: model
    type(*), intent(in) :: input(..)
    type(*), intent(inout) :: output(..) !! of the answer's type and shape; unchanged on errors
    integer(c_int) :: error

    error = pf_infer_array(self%handle, c_text(model), input, output)
  end function infer

  !> Writes the data set; it is not on any list.
  function put_dataset(self, dataset) result(error)
    class(store_client), intent(in) :: self
    type(store_dataset), intent(in) :: dataset
    integer(c_int) :: error

    error = pf_put_dataset(self%handle, dataset%handle)
  end function put_dataset

  !> Appends the data set's name to the list.
  function append_to_list(self, list, dataset) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: list
    type(store_dataset), intent(in) :: dataset
    integer(c_int) :: error

    error = pf_append_to_list(self%handle, c_text(list), dataset%handle)
  end function append_to_list

  !> Writes the data set and appends it to the list: on one server in one transaction.
  function put_dataset_to_list(self, list, dataset) result(error)
    class(store_client), intent(in) :: self
    character(len=*), intent(in) :: list
    type(store_dataset), intent(in) :: dataset
    integer(c_int) :: error

    error = pf_put_dataset_to_list(self%handle, c_text(list), dataset%handle)
  end function put_dataset_to_list

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

  !> What went wrong in the latest call that added to the data set.
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

  !> The text without trailing blanks, as C has it.
  pure function c_text(text)
    character(len=*), intent(in) :: text
    character(len=len_trim(text) + 1, kind=c_char) :: c_text

    c_text = trim(text)//c_null_char
  end function c_text

  !> Each text without trailing blanks, as C has it.
  elemental function c_texts(text)
    character(len=*), intent(in) :: text
    character(len=len(text) + 1, kind=c_char) :: c_texts

    c_texts = trim(text)//c_null_char
  end function c_texts

  function addresses(texts) result(pointers)
    character(len=*, kind=c_char), intent(in), target :: texts(:)
    type(c_ptr) :: pointers(size(texts))
    integer :: i

    do i = 1, size(texts)
      pointers(i) = c_loc(texts(i))
    end do
  end function addresses

  function fortran_text(address) result(text)
    type(c_ptr), intent(in) :: address
    character(len=:), allocatable :: text
    character(kind=c_char), pointer :: characters(:)
    integer :: i

    call c_f_pointer(address, characters, [c_strlen(address)])
    allocate (character(len=size(characters)) :: text)
    do i = 1, size(characters)
      text(i:i) = characters(i)
    end do
  end function fortran_text

end module parslflow_client
