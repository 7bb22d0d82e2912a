// A CUDA device in host memory for the CPU build of PyTorch: `cuda:0` computes with the CPU's own operators, tells a
// listener of every operator and copy, and refuses what a GPU refuses: mixed devices, a CPU's generator, a second GPU.
//
// It is loaded before PyTorch, which looks for a CUDA library once.

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <mutex>
#include <set>

namespace {

using at::Device, at::DeviceIndex, at::Generator, at::IntArrayRef, at::ScalarType, at::Tensor;
using c10::DataPtr, c10::DispatchKey, c10::DispatchKeySet, c10::Storage;

const Device THE_DEVICE(at::kCUDA, 0);

// What is told: a kind and the name of the operator

void (*listener)(const char* kind, const char* name) = nullptr;

void tell(const char* kind, const std::string& name) {
  if (listener) listener(kind, name.c_str());
}

// Memory: that of the host, some of it pinned

std::mutex pinned_mutex;
std::set<const void*> pinned;

bool is_pinned(const void* place) {
  std::lock_guard<std::mutex> lock(pinned_mutex);
  return pinned.count(place) > 0;
}

void free_pinned(void* place) {
  std::lock_guard<std::mutex> lock(pinned_mutex);
  pinned.erase(place);
  free(place);
}

struct DeviceMemory : c10::Allocator {
  DataPtr allocate(size_t bytes) override {
    void* place = malloc(bytes + 1);
    return {place, place, &free, THE_DEVICE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* to, const void* from, size_t bytes) const override { memcpy(to, from, bytes); }
} device_memory;

struct PinnedMemory : c10::Allocator {
  DataPtr allocate(size_t bytes) override {
    void* place = malloc(bytes + 1);
    std::lock_guard<std::mutex> lock(pinned_mutex);
    pinned.insert(place);
    return {place, place, &free_pinned, Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned; }
  void copy_data(void* to, const void* from, size_t bytes) const override { memcpy(to, from, bytes); }
} pinned_memory;

// The same memory as a tensor of the other device.
Tensor renamed(const Tensor& tensor, Device device) {
  auto* origin = new Storage(tensor.storage());
  DataPtr data(origin->mutable_data(), origin, [](void* held) { delete static_cast<Storage*>(held); }, device);
  auto* allocator = device.is_cpu() ? c10::GetAllocator(at::kCPU) : static_cast<c10::Allocator*>(&device_memory);
  Storage storage(c10::make_intrusive<c10::StorageImpl>(
      c10::StorageImpl::use_byte_size_t(), origin->nbytes(), std::move(data), allocator, /*resizable=*/true));
  auto key = device.is_cpu() ? DispatchKey::CPU : DispatchKey::CUDA;
  Tensor result = at::detail::make_tensor<at::TensorImpl>(std::move(storage), DispatchKeySet(key), tensor.dtype());
  result.unsafeGetTensorImpl()->set_sizes_and_strides(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  return result;
}

Tensor on_host(const Tensor& tensor) {
  return tensor.defined() && tensor.is_cuda() ? renamed(tensor, at::kCPU) : tensor;
}

// What PyTorch asks of a CUDA library

constexpr int64_t HOST_STATE = 5056;
constexpr int64_t DEVICE_STATE = HOST_STATE + 16;  // a GPU's generator has a state of another size, too

struct DeviceGenerator : c10::GeneratorImpl {
  Generator inner = at::detail::createCPUGenerator();

  DeviceGenerator() : GeneratorImpl(THE_DEVICE, DispatchKeySet(DispatchKey::CUDA)) {}
  void set_current_seed(uint64_t seed) override { inner.set_current_seed(seed); }
  uint64_t current_seed() const override { return inner.current_seed(); }
  uint64_t seed() override { return inner.seed(); }
  void set_offset(uint64_t) override {}
  uint64_t get_offset() const override { return 0; }
  c10::intrusive_ptr<at::TensorImpl> get_state() const override {
    return at::cat({inner.get_state(), at::zeros({DEVICE_STATE - HOST_STATE}, at::kByte)}).getIntrusivePtr();
  }
  void set_state(const at::TensorImpl& state) override {
    TORCH_CHECK(state.numel() == DEVICE_STATE, "RNG state is wrong size");
    inner.set_state(at::from_blob(const_cast<void*>(state.data()), {HOST_STATE}, at::kByte).clone());
  }
  DeviceGenerator* clone_impl() const override {
    auto* copy = new DeviceGenerator;
    copy->inner = inner.clone();
    return copy;
  }
};

struct Guard : c10::impl::NoOpDeviceGuardImpl<at::kCUDA> {
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, THE_DEVICE); }
  Device exchangeDevice(Device) const override { return THE_DEVICE; }
  Device getDevice() const override { return THE_DEVICE; }
  c10::Stream getStream(Device) const noexcept override { return stream(); }
  c10::Stream getDefaultStream(Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard)

struct CUDAHooks : at::CUDAHooksInterface {
  CUDAHooks(at::CUDAHooksArgs) {}
  void init() const override {}
  bool hasCUDA() const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex getCurrentDevice() const override { return 0; }
  DeviceIndex current_device() const override { return 0; }
  bool isPinnedPtr(const void* place) const override { return is_pinned(place); }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_memory; }
  Generator getNewGenerator(DeviceIndex) const override { return at::make_generator<DeviceGenerator>(); }
  const Generator& getDefaultGenerator(DeviceIndex) const override {
    static Generator generator = at::make_generator<DeviceGenerator>();
    return generator;
  }
};
using at::CUDAHooksRegistry, at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks)

// Operators: every one that has a kernel runs the CPU's, on the same memory

bool waits(const std::string& name) {
  return name == "aten::nonzero" || name == "aten::masked_select" || name == "aten::_unique2";
}

void run_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const std::string name = op.schema().name();
  // `tensor[index]` and its like take indices on the host, and copy them to the device.
  const bool indexes = name.find("index") != std::string::npos && name != "aten::index_select";
  const char* kind = waits(name) ? "wait" : "launch";
  std::vector<std::pair<Tensor, Tensor>> pairs;

  auto argument = [&](const Tensor& tensor) -> Tensor {
    if (!tensor.defined()) return tensor;
    if (!tensor.is_cuda()) {
      TORCH_CHECK(tensor.dim() == 0 || indexes, "Expected all tensors to be on the same device, ", name);
      if (tensor.dim() > 0) kind = "to device, pageable";
      return tensor;
    }
    pairs.emplace_back(tensor, on_host(tensor));
    return pairs.back().second;
  };
  auto* arguments = &(*stack)[stack->size() - op.schema().arguments().size()];
  for (size_t i = 0; i < op.schema().arguments().size(); ++i) {
    c10::IValue& value = arguments[i];
    if (value.isTensor()) {
      value = argument(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(argument(tensor));
      value = list;
    } else if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> list;
      for (const std::optional<Tensor> tensor : value.toOptionalTensorList()) {
        const bool given = tensor && tensor->defined();
        // The number of elements that a mask selects must be known to the host.
        if (given && tensor->scalar_type() == at::kBool) kind = "wait";
        list.push_back(given ? std::optional<Tensor>(argument(*tensor)) : tensor);
      }
      value = list;
    } else if (value.isDevice()) {
      value = Device(at::kCPU);
    } else if (value.isGenerator()) {
      const Generator generator = value.toGenerator();
      TORCH_CHECK(generator.device().is_cuda(), "Expected a 'cuda' device type for generator but found 'cpu', ", name);
      value = static_cast<DeviceGenerator*>(generator.unsafeGetGeneratorImpl())->inner;
    }
  }

  tell(kind, name);
  {
    at::AutoDispatchBelowADInplaceOrView below;
    op.callBoxed(stack);
  }

  auto result = [&](const Tensor& tensor) -> Tensor {
    for (auto& [device, host] : pairs) {
      if (!host.is_same(tensor)) continue;
      if (device.sizes() != tensor.sizes()) {
        device.resize_(tensor.sizes());
        on_host(device).copy_(tensor);
      }
      return device;
    }
    return tensor.defined() ? renamed(tensor, THE_DEVICE) : tensor;
  };
  for (size_t i = stack->size() - op.schema().returns().size(); i < stack->size(); ++i) {
    c10::IValue& value = (*stack)[i];
    if (value.isTensor()) {
      value = result(value.toTensor());
    } else if (value.isTensorList()) {
      c10::List<Tensor> list;
      for (const Tensor& tensor : value.toTensorVector()) list.push_back(result(tensor));
      value = list;
    }
  }
}

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>()); }

using Type = std::optional<ScalarType>;
using Layout = std::optional<at::Layout>;
using Place = std::optional<Device>;
using Pin = std::optional<bool>;
using Format = std::optional<at::MemoryFormat>;

void check(const Place& device) {
  TORCH_CHECK(!device || device->index() <= 0, "CUDA error: invalid device ordinal");
}

Tensor empty(IntArrayRef sizes, Type type, Layout, Place device, Pin, Format format) {
  check(device);
  return at::detail::empty_generic(
      sizes, &device_memory, DispatchKeySet(DispatchKey::CUDA), c10::dtype_or_default(type), format);
}

Tensor empty_strided(IntArrayRef sizes, IntArrayRef strides, Type type, Layout, Place device, Pin) {
  check(device);
  return at::detail::empty_strided_generic(
      sizes, strides, &device_memory, DispatchKeySet(DispatchKey::CUDA), c10::dtype_or_default(type));
}

Tensor& copy(Tensor& self, const Tensor& source, bool non_blocking) {
  const bool to_device = self.is_cuda(), from_device = source.is_cuda();
  if (to_device == from_device) {
    tell("launch", "aten::copy_");
  } else {
    const bool waits_not = non_blocking && is_pinned((to_device ? source : self).storage().data());
    tell(to_device ? (waits_not ? "to device, pinned" : "to device, pageable")
                   : (waits_not ? "to host, pinned" : "to host"),
         "aten::copy_");
  }
  on_host(self).copy_(on_host(source));
  return self;
}

at::Scalar item(const Tensor& self) {
  tell("wait", "aten::item");
  return at::_local_scalar_dense(on_host(self));
}

const Tensor& resize(const Tensor& self, IntArrayRef sizes, Format) {
  auto* tensor = self.unsafeGetTensorImpl();
  tensor->set_sizes_contiguous(sizes);
  auto* storage = self.storage().unsafeGetStorageImpl();
  const size_t bytes = tensor->numel() * self.itemsize();
  if (bytes > storage->nbytes()) {
    storage->set_data_ptr_noswap(device_memory.allocate(bytes));
    storage->set_nbytes(bytes);
  }
  return self;
}

Tensor as_strided(const Tensor& self, IntArrayRef sizes, IntArrayRef strides, std::optional<int64_t> offset) {
  return at::native::as_strided_tensorimpl(self, sizes, strides, offset);
}

Tensor reshape_alias(const Tensor& self, IntArrayRef sizes, IntArrayRef strides) {
  return at::native::as_strided_tensorimpl(self, sizes, strides, self.storage_offset());
}

Tensor view(const Tensor& self, IntArrayRef sizes) { return at::native::view(self, sizes); }

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("copy_", &copy);
  m.impl("_local_scalar_dense", &item);
  m.impl("resize_", &resize);
  m.impl("as_strided", &as_strided);
  m.impl("_reshape_alias", &reshape_alias);
  m.impl("view", &view);
}

TORCH_LIBRARY(simulated_cuda, m) {
  m.def("as_cuda(Tensor t) -> Tensor", +[](const Tensor& tensor) -> Tensor { return renamed(tensor, THE_DEVICE); });
  m.def("as_cpu(Tensor t) -> Tensor", +[](const Tensor& tensor) -> Tensor { return on_host(tensor); });
}

}  // namespace

extern "C" void listen(void (*function)(const char*, const char*)) { listener = function; }
